"""A run's fluke finder: trained once, kept in the run's folder, checked on boxes held back."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor

from flukeprint.collection import Collection
from flukeprint.errors import FlukeprintError, reason_of
from flukeprint.files import write_bytes
from flukeprint.progress import Progress
from flukeprint.records import Split, Table
from flukeprint.training.boxed import (
    boxes_file,
    boxes_of,
    drawn_boxes,
    hand_boxes,
    mean_overlap,
    no_boxes,
    not_flukes,
    squashed_photos,
    stock_of,
)
from flukeprint.training.config import TrainConfig
from flukeprint.training.localiser import FlukeNet
from flukeprint.training.localiser_fit import fit_localiser
from flukeprint.training.runfolder import RunFolder


def load_localiser(folder: RunFolder) -> FlukeNet | None:
    """The run's fluke finder, if it has one.

    Raises:
        FlukeprintError: its file is damaged.
    """
    if not folder.localiser.exists():
        return None
    try:
        return _network_of(folder.localiser.read_bytes())
    except Exception as error:  # safetensors and torch raise their own kinds
        raise FlukeprintError(
            f"{folder.localiser}: damaged; delete it and run the training again: {reason_of(error)}"
        ) from None


def read_finder(path: Path) -> bytes:
    """Another run's finder, as its file holds it.

    Raises:
        FlukeprintError: it cannot be read, or is something else.
    """
    try:
        data = path.read_bytes()
        _network_of(data)
    except OSError as error:
        raise FlukeprintError(f"{path}: cannot be read: {error.strerror}") from None
    except Exception as error:  # safetensors and torch raise their own kinds
        raise FlukeprintError(
            f"{path}: not a run's localiser.safetensors: {reason_of(error)}"
        ) from None
    return data


def _network_of(data: bytes) -> FlukeNet:
    network = FlukeNet()
    network.load_state_dict(from_safetensors(data))
    return network.eval()


def check_localiser(localiser: FlukeNet, data: Path, collection: Collection, inner: Split) -> str:
    """How well it finds the flukes that were boxed by hand on photos it did not learn from."""
    listing, trained = boxes_file(data), set(inner.train)
    if not inner.queries:
        return "flukes: every photo joins the training; no box is left to check against"
    kept = [name for name in collection.twin_group if name not in trained]  # those that can be read
    boxed = hand_boxes(listing, collection.table, kept) if listing.is_file() else no_boxes()
    if not len(boxed.photos):
        return "flukes: no boxes drawn by hand to check against"
    return (
        f"flukes: mean overlap {mean_overlap(localiser, boxed):.3f} with {len(boxed.photos)} "
        "boxes drawn by hand on photos kept from training"
    )


def find_flukes(
    data: Path,
    table: Table,
    inner: Split,
    config: TrainConfig,
    folder: RunFolder,
    progress: Progress,
    given: bytes | None = None,
) -> FlukeNet | None:
    """The run's fluke finder: trained now, unless the folder has it; None on whole photos.

    ``given`` is another run's (:func:`read_finder`), to take over in place of training one.

    Raises:
        FlukeprintError: there is no box to learn from, or the folder's file is damaged.
    """
    if not config.localise:
        return None
    found = load_localiser(folder)
    if found is not None:
        return found
    if given is not None:
        write_bytes(folder.localiser, given)
        return load_localiser(folder)
    drawn, listing = drawn_boxes(config), boxes_file(data)
    by_hand = no_boxes()
    if listing.is_file():
        by_hand = hand_boxes(listing, table, inner.train)
    if not len(by_hand.photos) and not len(drawn.photos):
        raise FlukeprintError(
            f"{listing}: no fluke boxes to learn from; bring some, draw whales with "
            "--set drawn_whales=300, or train on whole photos with --set localise=false"
        )
    steps = config.localiser_steps
    network = fit_localiser(
        stock_of(by_hand, drawn, not_flukes(data), config.seed),
        _unboxed(listing, table, inner, progress),
        steps=steps,
        seed=config.seed,
        progress=progress("finding flukes", steps),
    )
    # Safetensors takes plain layouts only; and a resumed run must cut the very same crops as this
    # one, so both use what was read back.
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    write_bytes(folder.localiser, to_safetensors(weights))
    return load_localiser(folder)


def _unboxed(listing: Path, table: Table, inner: Split, progress: Progress) -> Tensor:
    """The photos to learn from that nobody boxed, squashed: (N, 1, 100, 100) uint8."""
    boxed, side = boxes_of(listing) if listing.is_file() else {}, set(inner.train)
    paths = {row.name: row.path for row in table.rows if row.name in side and row.name not in boxed}
    return squashed_photos(list(paths.values()), progress("reading", len(paths)))
