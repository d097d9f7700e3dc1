"""The training command: a labelled collection in, a run folder with validated weights out."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors

from flukeprint.collection import Collection, read_collection
from flukeprint.errors import FlukeprintError
from flukeprint.files import write_bytes
from flukeprint.progress import Progress, no_progress
from flukeprint.records import NEW_WHALE, Split, Table
from flukeprint.splits import make_splits, read_split, write_split
from flukeprint.tables import fingerprint, read_table
from flukeprint.training.config import TrainConfig, config_text, setting_text
from flukeprint.training.data import (
    BoxedPhotos,
    crops_of,
    drawn_boxes,
    drawn_samples,
    hand_boxes,
    labels_of,
    mean_overlap,
    rows_of,
    samples_of,
)
from flukeprint.training.device import Device, find_device
from flukeprint.training.localiser import BoxNet, fit_localiser
from flukeprint.training.loop import Lesson, Trainer, fit
from flukeprint.training.networks import Embedder
from flukeprint.training.runfolder import RunFolder, environment
from flukeprint.training.validate import Validation

BOXES = "boxes.csv"


def train(
    data: Path,
    out: Path,
    config: TrainConfig,
    *,
    device: str = "auto",
    progress: Progress = no_progress,
    report: Callable[[str], object] = lambda line: None,
) -> dict[str, Any]:
    """Train on a labelled collection into the folder ``out``; a run that was cut is resumed.

    Returns the best epoch's validation scores, as ``out/result.json`` holds them.

    Raises:
        FlukeprintError: the data, the config or the folder is not fit for it.
    """
    chosen = find_device(device)
    check_backbone(config)
    folder = RunFolder(out)
    table = read_table(data)
    facts = _facts(data, table, config, chosen)
    folder.check(config_text(config), facts)  # before minutes of reading photos
    collection = read_collection(data, progress)
    for failure in collection.failures:
        report(f"warning: {failure.path}: {failure.reason}; left out")
    outer, inner = split_for_training(collection, config)
    with folder.locked():
        folder.open(config_text(config), facts)
        _keep_split(outer, folder.split)
        _keep_split(inner, folder.inner_split)
        localiser = _localiser(data, collection.table, inner, config, folder, progress)
        if localiser is not None:
            report(check_localiser(localiser, data, collection.table, inner))
        lesson, validation = _lesson(collection, inner, config, localiser, progress)
        report(
            f"{len(lesson.labels)} pictures of {lesson.individuals} whales to learn from, "
            f"{len(validation.query_labels)} queries to validate, {len(outer.queries)} for the end"
        )
        return fit(Trainer(lesson, config, chosen), validation, folder, report)


def check_backbone(config: TrainConfig) -> None:
    """Try the network on two blank crops of each size, before any photo is read.

    Raises:
        FlukeprintError: the backbone is unknown, or not one for crops of these sizes.
    """
    network = Embedder(config.backbone, config.embedding_size).eval()
    sizes = {(config.early_height_px, config.early_width_px), (config.height_px, config.width_px)}
    for height, width in sorted(sizes):
        try:
            with torch.inference_mode():
                network(torch.zeros(2, 1, height, width))
        except Exception as error:  # each backbone fails in its own way
            reason = " ".join(str(error).split())[:120]
            raise FlukeprintError(
                f"config: backbone {config.backbone!r} does not take crops of {height} x {width} "
                f"pixels or gives no feature maps: {reason}"
            ) from None


def split_for_training(collection: Collection, config: TrainConfig) -> tuple[Split, Split]:
    """The outer split, whose queries nobody sees, and the split of its gallery for validation.

    Raises:
        FlukeprintError: there are too few photos for both.
    """
    (outer,) = make_splits(
        collection.table,
        collection.twin_group,
        "open-set",
        seed=config.seed,
        queries=config.query_share,
    )
    side = set(outer.gallery)
    inside = Table(
        collection.table.source, tuple(r for r in collection.table.rows if r.name in side)
    )
    try:
        (inner,) = make_splits(
            inside,
            collection.twin_group,
            "open-set",
            seed=config.seed,
            queries=config.validation_share,
        )
    except FlukeprintError as error:
        raise FlukeprintError(
            f"{collection.table.source}: {len(outer.queries)} photos are kept for the end, and the "
            f"other {len(side)} are too few to validate with while training: {error}"
        ) from None
    return outer, inner


def _keep_split(split: Split, path: Path) -> None:
    """Write a split, or make sure that a resumed run has the same."""
    if not path.exists():
        write_split(split, path)
    elif read_split(path) != split:
        raise FlukeprintError(
            f"{path}: photos have changed or can no longer be read since this run began; "
            "put them back or start another run"
        )


def load_localiser(folder: RunFolder) -> BoxNet | None:
    """The run's fluke finder, if it has one.

    Raises:
        FlukeprintError: its file is damaged.
    """
    if not folder.localiser.exists():
        return None
    network = BoxNet()
    try:
        network.load_state_dict(from_safetensors(folder.localiser.read_bytes()))
    except Exception as error:  # safetensors and torch raise their own kinds
        reason = " ".join(str(error).split())[:120]
        raise FlukeprintError(
            f"{folder.localiser}: damaged; delete it and run the training again: {reason}"
        ) from None
    return network.eval()


def _boxes_of(data: Path) -> Path:
    return (data if data.is_dir() else data.parent) / BOXES


def check_localiser(localiser: BoxNet, data: Path, table: Table, inner: Split) -> str:
    """How well it finds the flukes that were boxed by hand on photos it did not learn from."""
    listing, trained = _boxes_of(data), set(inner.train)
    if not listing.is_file():
        return "flukes: no boxes drawn by hand to check against"
    boxed = hand_boxes(listing, table, [r.name for r in table.rows if r.name not in trained])
    return (
        f"flukes: mean overlap {mean_overlap(localiser, boxed):.3f} with {len(boxed.photos)} "
        "boxes drawn by hand on photos kept from training"
    )


def _localiser(
    data: Path,
    table: Table,
    inner: Split,
    config: TrainConfig,
    folder: RunFolder,
    progress: Progress,
) -> BoxNet | None:
    if not config.localise:
        return None
    found = load_localiser(folder)
    if found is not None:
        return found
    boxed = drawn_boxes(config)
    listing = _boxes_of(data)
    if listing.is_file():
        by_hand = hand_boxes(listing, table, inner.train)
        boxed = BoxedPhotos(
            torch.cat([by_hand.photos, boxed.photos]), torch.cat([by_hand.boxes, boxed.boxes])
        )
    if not len(boxed.photos):
        raise FlukeprintError(
            f"{listing}: no fluke boxes to learn from; bring some, draw whales with "
            "--set drawn_whales=300, or train on whole photos with --set localise=false"
        )
    steps = config.localiser_steps
    network = fit_localiser(
        boxed.photos,
        boxed.boxes,
        steps=steps,
        seed=config.seed,
        progress=progress("finding flukes", steps),
    )
    # Safetensors takes plain layouts only; and a resumed run must cut the very same crops as this
    # one, so both use what was read back.
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    write_bytes(folder.localiser, to_safetensors(weights))
    return load_localiser(folder)


def _lesson(
    collection: Collection,
    inner: Split,
    config: TrainConfig,
    localiser: BoxNet | None,
    progress: Progress,
) -> tuple[Lesson, Validation]:
    table = collection.table
    samples = samples_of(inner.train, table, collection.twin_group, config)
    samples += drawn_samples(config)
    if len(samples) < 2:
        raise FlukeprintError(
            f"{table.source}: {len(samples)} photo is left to learn from; bring more, or draw "
            "whales with --set drawn_whales=300"
        )
    labels, individuals = labels_of(samples)
    crops = crops_of(samples, localiser, config, progress("cutting", len(samples)))
    gallery, asked = rows_of(inner.gallery, table), rows_of(inner.queries, table)
    validation = Validation(
        crops_of(gallery, localiser, config, progress("cutting", len(gallery))),
        tuple(sample.individual for sample in gallery),
        crops_of(asked, localiser, config, progress("cutting", len(asked))),
        tuple(sample.individual for sample in asked),
    )
    return Lesson(crops, labels, individuals), validation


def _facts(data: Path, table: Table, config: TrainConfig, device: Device) -> dict[str, Any]:
    return {
        "data": str(data.resolve()),
        "fingerprint": fingerprint(table),
        "photos": len(table.rows),
        "individuals": len(table.individuals),
        "labelled_new_whale": sum(row.individual == NEW_WHALE for row in table.rows),
        "seed": config.seed,
        "device": device.name,
        "bf16": device.bf16,
        "threads": torch.get_num_threads(),
        "command": _command(data, config),
        "environment": environment(),
    }


def _command(data: Path, config: TrainConfig) -> str:
    plain = asdict(TrainConfig())
    changed = {key: value for key, value in asdict(config).items() if value != plain[key]}
    settings = "".join(
        f" --set {shlex.quote(f'{key}={setting_text(value)}')}" for key, value in changed.items()
    )
    return f"flukeprint train {shlex.quote(data.name)} --out RUN{settings}"
