"""Tests of what a run learns from."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("torch", reason="training needs torch")

import torch

from flukeprint.crops import WHOLE, crop, planes
from flukeprint.drawn import draw_whale, photograph
from flukeprint.errors import FlukeprintError
from flukeprint.records import NEW_WHALE, LabelledPhoto, Table
from flukeprint.training.config import TrainConfig
from flukeprint.training.data import (
    BOX_PHOTO_PX,
    STORED_MARGIN,
    Sample,
    crops_of,
    drawn_boxes,
    drawn_samples,
    hand_boxes,
    labels_of,
    load_pixels,
    locate,
    rows_of,
    samples_of,
)
from flukeprint.training.localiser import BoxNet

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
    assert crops_of(samples, BoxNet().eval(), config).shape == (2, 1, 52, 39)
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
        cut = crop(alone, WHOLE, 52, 39, margin=STORED_MARGIN)
        assert (colour[0, channel].numpy() == cut).all()


def test_the_localiser_sees_colour_in_grey() -> None:
    torch.manual_seed(0)
    localiser = BoxNet().eval()
    (sample,) = drawn_samples(TrainConfig(drawn_whales=1, drawn_photos=1))
    box = locate(localiser, load_pixels(sample))
    assert locate(localiser, load_pixels(sample, 3)) == box
    config = TrainConfig(height_px=40, width_px=30, channels=3)
    wanted = planes(crop(load_pixels(sample, 3), box, 52, 39, margin=STORED_MARGIN))
    assert (crops_of([sample], localiser, config)[0].numpy() == wanted).all()


def test_drawn_boxes_know_their_flukes() -> None:
    boxed = drawn_boxes(TrainConfig(drawn_whales=2, drawn_photos=2))
    assert boxed.photos.shape == (4, 1, BOX_PHOTO_PX, BOX_PHOTO_PX)
    truth = photograph(draw_whale(1), 0, width_px=192, height_px=108).box
    torch.testing.assert_close(
        boxed.boxes[2], torch.tensor([truth.x0, truth.y0, truth.x1, truth.y1])
    )
    nothing = drawn_boxes(TrainConfig(drawn_whales=0))
    assert nothing.photos.shape == (0, 1, BOX_PHOTO_PX, BOX_PHOTO_PX)
    assert nothing.boxes.shape == (0, 4)


def test_a_found_box_is_a_box() -> None:
    torch.manual_seed(0)
    box = locate(BoxNet().eval(), np.zeros((40, 90), np.uint8))
    assert 0 <= box.x0 < box.x1 <= 1


@pytest.fixture
def three_photos(tmp_path: Path) -> Table:
    rows = []
    for name in ("a.png", "b.png", "c.png"):
        Image.new("L", (60, 40), 90).save(tmp_path / name)
        rows.append(LabelledPhoto(name, tmp_path / name, "x"))
    return Table(tmp_path, tuple(rows))


def _listing(table: Table, text: str) -> Path:
    path = table.source / "boxes.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_hand_boxes_of_allowed_photos(three_photos: Table) -> None:
    listing = _listing(
        three_photos,
        "\ufeffImage,x0,y0,x1,y1,who\n"
        "a.png,10,20,60.5,80,me\nb.png,0,0,100,100,me\nc.png,-5,0,50,104,me\nelse.png,1,2,3,4,me\n",
    )
    boxed = hand_boxes(listing, three_photos, ["a.png", "c.png", "else.png"])
    assert boxed.photos.shape == (2, 1, BOX_PHOTO_PX, BOX_PHOTO_PX)
    wanted = torch.tensor([[0.1, 0.2, 0.605, 0.8], [0.0, 0.0, 0.5, 1.0]])
    torch.testing.assert_close(boxed.boxes, wanted)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Image,x0,y0,x1\na.png,1,2,3\n", "y1 is missing"),
        ("Image,x0,y0,x1,y1\na.png,1,2,3,4\nb.png,1,2,3\n", "line 3: expected 5 cells"),
        ("Image,x0,y0,x1,y1\na.png,1,2,3,wide\n", "line 2: expected a box"),
        ("Image,x0,y0,x1,y1\na.png,1,2,nan,4\n", "line 2: expected a box"),
        ("Image,x0,y0,x1,y1\na.png,1,2,1,4\n", "line 2: expected a box"),
        ("a.png,1,2,3,4\nb.png,1,2,3,4\n", "the first line must name the columns"),
    ],
)
def test_a_wrong_line_of_boxes_is_named(text: str, message: str, three_photos: Table) -> None:
    with pytest.raises(FlukeprintError, match=f"boxes.csv.*{message}"):
        hand_boxes(_listing(three_photos, text), three_photos, ["a.png", "b.png"])


def test_a_photo_gone_since_is_named(three_photos: Table) -> None:
    (three_photos.source / "b.png").unlink()
    with pytest.raises(FlukeprintError, match="b.png: no such file"):
        crops_of(rows_of(["a.png", "b.png"], three_photos), None, CONFIG)
    assert load_pixels(Sample("a.png", "x", path=three_photos.source / "a.png")).shape == (40, 60)
