"""The shipped model on real photos, where they lie beside the checkout."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flukeprint.evaluate import HASH_DIGITS
from flukeprint.localise import overlap
from flukeprint.look import Shrunk, look, look_at, shrink
from flukeprint.model import MEASURED, load_model
from flukeprint.network import Network
from flukeprint.photos import PhotoFile, read_photo
from flukeprint.records import Failure, Fluke, Look

WHALES = Path(__file__).parents[2] / "shared" / "whales"
pytestmark = pytest.mark.skipif(
    not (WHALES / "boxes.csv").is_file(), reason="the photos of ../shared/whales are not here"
)


@pytest.fixture(scope="module")
def network() -> Network:
    """The model that a user has."""
    return Network(load_model(), device="cpu")


def flukes_on(paths: list[Path], network: Network) -> list[Fluke]:
    """What is found in photos that can all be read."""
    looks = [seen for _, seen, _ in look_at(paths, network)]
    return [seen.fluke for seen in looks if isinstance(seen, Look)]


def test_boxes_it_has_not_learned_from_are_found(network: Network) -> None:
    """The finder is its twin's, which has kept boxes back."""
    twin = load_model(Path(MEASURED))
    assert network.model.localiser == twin.localiser
    learned = set(twin.manifest.trained_on)
    paths, boxes = [], []
    with (WHALES / "boxes.csv").open(encoding="utf-8") as listing:
        for row in csv.DictReader(listing):
            photo = read_photo(WHALES / "train" / row["Image"])
            if isinstance(photo, Failure) or photo.sha256[:HASH_DIGITS] in learned:
                continue
            paths.append(photo.path)
            boxes.append([float(row[side]) / 100 for side in ("x0", "y0", "x1", "y1")])
    assert len(paths) > 50
    found = [
        float(overlap(np.array([box.x0, box.y0, box.x1, box.y1]), np.array(wanted)))
        for box, wanted in zip(
            (fluke.box for fluke in flukes_on(paths, network)), boxes, strict=True
        )
    ]
    assert np.mean(found) >= 0.85
    assert np.mean(np.array(found) > 0.5) >= 0.95


def test_flukes_are_seen_and_cats_are_not(network: Network) -> None:
    flukes = sorted((WHALES / "train").iterdir())[::25]
    cats = sorted((WHALES / "not_flukes").iterdir())
    assert np.mean([fluke.seen for fluke in flukes_on(flukes, network)]) >= 0.98
    assert np.mean([fluke.seen for fluke in flukes_on(cats, network)]) <= 0.04


def test_a_photo_and_its_squash_have_nearly_the_same_embedding(network: Network) -> None:
    with (WHALES / "sizes.csv").open(encoding="utf-8") as listing:
        sizes = {
            row["Image"]: (int(row["width"]), int(row["height"])) for row in csv.DictReader(listing)
        }
    names = sorted(sizes)[::120]
    squashed = [Image.open(WHALES / "train" / name).convert("RGB") for name in names]
    full = [photo.resize(sizes[name]) for name, photo in zip(names, squashed, strict=True)]
    alike = (embedded(squashed, network) * embedded(full, network)).sum(axis=1)
    assert alike.mean() >= 0.99
    assert np.mean(alike >= 0.98) >= 0.95


def embedded(photos: list[Image.Image], network: Network) -> np.ndarray:
    """Photos as unit vectors, through the same steps as files."""
    shrunk = []
    for photo in photos:
        stream = io.BytesIO()
        photo.save(stream, "JPEG", quality=95)
        made = shrink(PhotoFile(Path("photo.jpg"), stream.getvalue(), ""), network)
        assert isinstance(made, Shrunk)
        shrunk.append(made)
    return network.embed(look(shrunk, network)[1])
