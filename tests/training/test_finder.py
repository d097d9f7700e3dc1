"""Tests of a run's fluke finder: made once, kept, read back, and scored."""

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("torch", reason="training needs torch")

import torch

from flukeprint.collection import Collection
from flukeprint.drawn import draw_whale, photograph
from flukeprint.errors import FlukeprintError
from flukeprint.progress import Step, no_progress
from flukeprint.records import LabelledPhoto, Split, Table
from flukeprint.training import boxed as making
from flukeprint.training import finder
from flukeprint.training import localiser_fit as fitting
from flukeprint.training.boxed import boxes_file
from flukeprint.training.config import TrainConfig
from flukeprint.training.finder import check_localiser, find_flukes, load_localiser
from flukeprint.training.localiser import FlukeNet
from flukeprint.training.runfolder import RunFolder

CONFIG = TrainConfig(drawn_whales=2, drawn_photos=2, localiser_steps=2)
SPLIT = Split("open-set", 0, "", ("a", "b", "c"), ("a", "b", "c"), ("q", "r"))
BOXES = "Image,x0,y0,x1,y1\nb,10,20,60,80\nq,0,0,50,50\nelse,0,0,9,9\n"


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "BATCH", 4)
    monkeypatch.setattr(making, "SEAS", 3)
    monkeypatch.setattr(making, "SHUFFLED", 4)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Photos a, b, c to learn from, q and r kept from that."""
    data = tmp_path / "data"
    data.mkdir()
    rows = []
    for seed, name in enumerate("abcqr"):
        path = data / f"{name}.png"
        shown = photograph(draw_whale(1_000 + seed), 0, width_px=96, height_px=54)
        Image.fromarray(shown.pixels).save(path)
        rows.append(LabelledPhoto(name, path, f"whale {name}"))
    return Table(data, tuple(rows))


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    (tmp_path / "run").mkdir()
    return RunFolder(tmp_path / "run")


def _find(table: Table, folder: RunFolder, config: TrainConfig = CONFIG) -> FlukeNet | None:
    return find_flukes(table.source, table, SPLIT, config, folder, no_progress)


def _refuse(*_: object, **__: object) -> None:
    raise AssertionError("it is not to be trained again")


def test_a_finder_is_kept_and_read_back(
    table: Table, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_localiser(folder) is None
    made = _find(table, folder)
    assert made is not None and not made.training
    monkeypatch.setattr(finder, "fit_localiser", _refuse)
    for again in (_find(table, folder), load_localiser(folder)):
        assert again is not None and not again.training
        one, two = made.state_dict(), again.state_dict()
        assert all(one[name].equal(two[name]) for name in one)


def test_the_same_collection_makes_the_same_finder(
    table: Table, folder: RunFolder, tmp_path: Path
) -> None:
    other = RunFolder(tmp_path / "other")
    other.path.mkdir()
    _find(table, folder)
    _find(table, other)
    assert folder.localiser.read_bytes() == other.localiser.read_bytes()


def test_a_run_on_whole_photos_has_none(table: Table, folder: RunFolder) -> None:
    assert _find(table, folder, TrainConfig(localise=False)) is None
    assert not folder.localiser.exists()


def test_a_damaged_finder_is_named(table: Table, folder: RunFolder) -> None:
    folder.localiser.write_bytes(b"broken")
    with pytest.raises(FlukeprintError, match=r"localiser\.safetensors.*damaged; delete it"):
        _find(table, folder)


def test_a_finder_of_an_older_kind_is_named(table: Table, folder: RunFolder) -> None:
    """Weights of another network, though whole."""
    from safetensors.torch import save

    folder.localiser.write_bytes(save({"head.2.weight": torch.zeros(4, 512)}))
    with pytest.raises(FlukeprintError, match=r"localiser\.safetensors"):
        _find(table, folder)


def test_without_a_box_there_is_nothing_to_learn(table: Table, folder: RunFolder) -> None:
    with pytest.raises(FlukeprintError, match=r"boxes\.csv: no fluke boxes to learn from"):
        _find(table, folder, TrainConfig(drawn_whales=0))
    assert not folder.localiser.exists()


def test_the_finder_learns_from_no_query(
    table: Table, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Boxes drawn by hand, then drawn whales; a and c, not boxed, are boxed by the network."""
    boxes_file(table.source).write_text(BOXES, encoding="utf-8")
    (table.source / "not_flukes").mkdir()
    Image.new("L", (50, 50), 77).save(table.source / "not_flukes" / "ship.png")
    asked: dict[str, Any] = {}

    def fit(stock: Any, others: Any, **how: Any) -> FlukeNet:
        asked.update(how, stock=stock, others=others)
        return FlukeNet().eval()

    monkeypatch.setattr(finder, "fit_localiser", fit)
    stages: list[tuple[str, int]] = []

    def progress(stage: str, size: int) -> Step:
        stages.append((stage, size))
        return lambda step: None

    find_flukes(table.source, table, SPLIT, CONFIG, folder, progress)
    photos = making.squashed_photos([row.path for row in table.rows])
    stock = asked["stock"]
    assert len(stock.photos) == 1 + 4 + 1, "by hand, drawn, and by hand on a card"
    assert stock.photos[0].equal(photos[1])
    torch.testing.assert_close(stock.boxes[0], torch.tensor([0.1, 0.2, 0.6, 0.8]))
    assert stock.photos[1:5].equal(making.drawn_boxes(CONFIG).photos)
    assert asked["others"].equal(photos[[0, 2]])
    assert stock.empty[0].float().mean() == 77
    assert (asked["steps"], asked["seed"]) == (2, 0)
    assert sorted(stages) == [("finding flukes", 2), ("reading", 2)]


def test_without_boxes_all_photos_to_learn_from_are_the_networks_to_box(
    table: Table, folder: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    def fit(stock: Any, others: Any, **how: Any) -> FlukeNet:
        asked.extend((len(stock.photos), len(others)))
        return FlukeNet().eval()

    monkeypatch.setattr(finder, "fit_localiser", fit)
    _find(table, folder)
    assert asked == [4, 3]


def test_the_finder_is_checked_on_boxes_that_it_did_not_learn_from(table: Table) -> None:
    localiser, names = FlukeNet().eval(), [row.name for row in table.rows]
    collection = Collection(table, {name: n for n, name in enumerate(names)}, {}, ())
    answers = check_localiser(localiser, table.source, collection, SPLIT)
    assert answers == "flukes: no boxes drawn by hand to check against"
    boxes_file(table.source).write_text(BOXES, encoding="utf-8")
    boxed = making.hand_boxes(boxes_file(table.source), table, ["q"])
    wanted = making.mean_overlap(localiser, boxed)
    answers = check_localiser(localiser, table.source, collection, SPLIT)
    assert answers == (
        f"flukes: mean overlap {wanted:.3f} with 1 boxes drawn by hand on photos kept from training"
    )
    table.rows[names.index("q")].path.write_bytes(b"broken")
    readable = Collection(table, {"a": 0, "b": 1, "c": 2, "r": 3}, {}, ())
    answers = check_localiser(localiser, table.source, readable, SPLIT)
    assert answers == "flukes: no boxes drawn by hand to check against"


def test_boxes_lie_beside_a_listing_or_in_its_folder(table: Table) -> None:
    listing = table.source / "photos.csv"
    listing.write_text("path,identity\n", encoding="utf-8")
    assert boxes_file(listing) == boxes_file(table.source) == table.source / "boxes.csv"
