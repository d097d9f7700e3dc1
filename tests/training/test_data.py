"""Tests of what a run learns from."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="training needs torch")

import torch
from torch import Tensor

from flukeprint.crops import crop, planes
from flukeprint.errors import FlukeprintError
from flukeprint.records import NEW_WHALE, WHOLE, Box, Fluke, LabelledPhoto, Table
from flukeprint.training.config import TrainConfig
from flukeprint.training.data import (
    BATCH,
    STORED_MARGIN,
    Sample,
    crops_of,
    drawn_samples,
    labels_of,
    load_pixels,
    locate,
    rows_of,
    samples_of,
)
from flukeprint.training.localiser import FlukeNet

CONFIG = TrainConfig()


def _table(*rows: tuple[str, str]) -> Table:
    return Table(
        Path("whales"), tuple(LabelledPhoto(name, Path(name), whale) for name, whale in rows)
    )


def _named(samples: list[Sample]) -> list[tuple[str, str]]:
    return [(sample.name, sample.individual) for sample in samples]


def test_one_of_each_set_of_twins_for_each_whale() -> None:
    table = _table(("a", "x"), ("b", "x"), ("c", "y"), ("d", "y"), ("b", "y"))
    groups = {"a": 0, "b": 0, "c": 0, "d": 3}
    found = samples_of(["a", "b", "c", "d"], table, groups, CONFIG)
    assert _named(found) == [("a", "x"), ("b", "y"), ("d", "y")]


def test_an_unidentified_whale_is_one_of_its_own_unless_a_twin_is_named() -> None:
    table = _table(("a", NEW_WHALE), ("b", NEW_WHALE), ("c", "x"), ("d", NEW_WHALE))
    groups = {"a": 0, "b": 1, "c": 1, "d": 0}
    found = samples_of(["a", "b", "c", "d"], table, groups, CONFIG)
    assert _named(found) == [("a", f"{NEW_WHALE} a"), ("c", "x")]
    # The named twin lies on the other side of the split: it must not speak here.
    found = samples_of(["a", "b", "d"], table, groups, CONFIG)
    assert _named(found) == [("a", f"{NEW_WHALE} a"), ("b", f"{NEW_WHALE} b")]


def test_unidentified_whales_can_be_left_out() -> None:
    table = _table(("a", NEW_WHALE), ("c", "x"))
    config = TrainConfig(new_whale="left-out")
    assert _named(samples_of(["a", "c"], table, {"a": 0, "c": 1}, config)) == [("c", "x")]


def test_only_the_splits_photos_are_learned_from() -> None:
    """Rows outside the split may lack a twin group: unreadable photos have none."""
    table = _table(("a", "x"), ("unreadable", "x"))
    assert _named(samples_of(["a"], table, {"a": 0}, CONFIG)) == [("a", "x")]
    assert _named(rows_of(["a"], table)) == [("a", "x")]


def test_labels_are_numbered_by_name() -> None:
    labels, individuals = labels_of([Sample("1", "b"), Sample("2", "a"), Sample("3", "b")])
    assert labels.tolist() == [1, 0, 1]
    assert individuals == ("a", "b")


def test_drawn_whales_are_never_those_of_the_demo() -> None:
    samples = drawn_samples(TrainConfig(drawn_whales=7, drawn_photos=3))
    assert len(samples) == 21
    assert len({sample.individual for sample in samples}) == 7
    assert all(sample.drawn is not None and sample.drawn[0] < 2**31 for sample in samples)
    with pytest.raises(FlukeprintError, match="drawn_whales"):
        TrainConfig(drawn_whales=2**31 + 1)
    assert drawn_samples(TrainConfig(drawn_whales=0)) == []


def test_crops_have_room_around_them() -> None:
    samples = drawn_samples(TrainConfig(drawn_whales=1, drawn_photos=2))
    config = TrainConfig(height_px=40, width_px=30)
    told: list[int] = []
    whole = crops_of(samples, None, config, told.append)
    assert whole.shape == (2, 1, 52, 39)
    assert whole.dtype == torch.uint8
    assert sum(told) == 2
    torch.manual_seed(0)
    assert crops_of(samples, FlukeNet().eval(), config).shape == (2, 1, 52, 39)
    assert crops_of([], None, config).shape == (0, 1, 52, 39)


def test_crops_in_colour_are_those_of_each_channel(tmp_path: Path) -> None:
    drawn = drawn_samples(TrainConfig(drawn_whales=1, drawn_photos=1))
    Image.fromarray(load_pixels(drawn[0], 3)).save(tmp_path / "a.png")
    samples = [*drawn, Sample("a.png", "x", path=tmp_path / "a.png")]
    assert load_pixels(samples[0], 3).shape == (108, 192, 3)
    assert (load_pixels(samples[1], 3) == load_pixels(samples[0], 3)).all()
    assert (load_pixels(samples[1]) == load_pixels(samples[0])).all()
    config = TrainConfig(height_px=40, width_px=30, channels=3)
    colour = crops_of(samples, None, config)
    assert (colour.shape, colour.dtype) == ((2, 3, 52, 39), torch.uint8)
    assert (colour[0] == colour[1]).all()
    for channel in range(3):
        alone = np.ascontiguousarray(load_pixels(samples[0], 3)[:, :, channel])
        cut = crop(alone, Fluke(WHOLE), 52, 39, margin=STORED_MARGIN)
        assert (colour[0, channel].numpy() == cut).all()


def test_the_localiser_sees_colour_in_grey() -> None:
    torch.manual_seed(0)
    localiser = FlukeNet().eval()
    (sample,) = drawn_samples(TrainConfig(drawn_whales=1, drawn_photos=1))
    (fluke,) = locate(localiser, [load_pixels(sample)])
    assert locate(localiser, [load_pixels(sample, 3)]) == [fluke]
    config = TrainConfig(height_px=40, width_px=30, channels=3)
    wanted = planes(crop(load_pixels(sample, 3), fluke, 52, 39, margin=STORED_MARGIN))
    assert (crops_of([sample], localiser, config)[0].numpy() == wanted).all()


def test_a_found_fluke_lies_inside_the_photo() -> None:
    torch.manual_seed(0)
    (fluke,) = locate(FlukeNet().eval(), [np.zeros((40, 90), np.uint8)])
    assert 0 <= fluke.box.x0 < fluke.box.x1 <= 1
    assert 0 <= fluke.box.y0 < fluke.box.y1 <= 1
    assert 0 <= fluke.probability <= 1


def test_a_fluke_is_found_alike_alone_and_among_others() -> None:
    """More photos than the localiser looks at together, of different sizes."""
    torch.manual_seed(0)
    localiser = FlukeNet().eval()
    drawn = [load_pixels(one) for one in drawn_samples(TrainConfig(drawn_whales=3, drawn_photos=1))]
    sizes = [(50, 60), (70, 40), (96, 96)]
    photos = [photo[:height, :width] for photo in drawn for height, width in sizes] * 8
    assert len(photos) > BATCH
    found = locate(localiser, photos)
    assert len(found) == len(photos)
    for place in (0, 4, BATCH - 1, BATCH, len(photos) - 1):
        (alone,) = locate(localiser, [photos[place]])
        for one, two in ((alone.box, found[place].box), (alone, found[place])):
            assert _numbers(one) == pytest.approx(_numbers(two), abs=1e-4)


def _numbers(found: Box | Fluke) -> tuple[float, ...]:
    if isinstance(found, Box):
        return (found.x0, found.y0, found.x1, found.y1)
    return (found.probability, found.slope, found.upside_down, found.others)


def test_crops_are_levelled_and_turned(telling: Callable[[Tensor], FlukeNet]) -> None:
    """A network that sees every fluke upside down and sloping: its crops are cut so."""
    samples = drawn_samples(TrainConfig(drawn_whales=2, drawn_photos=1))
    localiser = telling(torch.tensor([4.0, 0.2, 0.3, 0.7, 0.8, 20.0, 0.25, 4.0]))
    fluke = Fluke(Box(0.2, 0.3, 0.7, 0.8), slope=0.25, upside_down=True)
    stored = crops_of(samples, localiser, TrainConfig(height_px=40, width_px=30))
    for sample, found in zip(samples, stored[:, 0], strict=True):
        wanted = crop(load_pixels(sample), fluke, 52, 39, margin=STORED_MARGIN)
        np.testing.assert_allclose(found.numpy().astype(int), wanted.astype(int), atol=1)


@pytest.fixture
def three_photos(tmp_path: Path) -> Table:
    rows = []
    for name in ("a.png", "b.png", "c.png"):
        Image.new("L", (60, 40), 90).save(tmp_path / name)
        rows.append(LabelledPhoto(name, tmp_path / name, "x"))
    return Table(tmp_path, tuple(rows))


def test_a_photo_gone_since_is_named(three_photos: Table) -> None:
    (three_photos.source / "b.png").unlink()
    with pytest.raises(FlukeprintError, match="b.png: no such file"):
        crops_of(rows_of(["a.png", "b.png"], three_photos), None, CONFIG)
    assert load_pixels(Sample("a.png", "x", path=three_photos.source / "a.png")).shape == (40, 60)
