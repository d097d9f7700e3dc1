"""Small collections with answers counted by hand, and the real one where it is at hand."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from flukeprint import wording
from flukeprint.errors import FlukeprintError
from flukeprint.explore import explore, plots
from flukeprint.explore.records import Colour, Exploration, Shade, Size, Sizes, Spread
from flukeprint.explore.report import disagreeing, to_json
from flukeprint.explore.tally import tally
from flukeprint.progress import Step
from flukeprint.records import NEW_WHALE, Failure, LabelledPhoto, Table
from flukeprint.twins import Glance, glance

WHALES = Path(__file__).resolve().parents[2] / "shared" / "whales"
OUTPUTS = {
    "colour.png", "explore.html", "explore.json", "photos.png", "sizes.png", "twins.png",
    "whales.png",
}  # fmt: skip


def scene(seed: int, width: int = 60, height: int = 40) -> NDArray[np.uint8]:
    """A grey picture like no other seed's: blurred noise, (height, width) uint8."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 9)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def save(path: Path, pixels: NDArray[np.uint8], tint: bool = False, quality: int = 92) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if tint:
        pixels = np.stack([pixels // 2, pixels, 255 - pixels // 3], axis=2).astype(np.uint8)
    Image.fromarray(pixels).save(path, "JPEG", quality=quality)
    return path


@pytest.fixture
def collection(tmp_path: Path) -> Path:
    """Kaggle layout, ten photos.

    w_a: 1.jpg grey, 2.jpg (a copy of 1), 3.jpg colour; w_b: 4.jpg grey saved as RGB,
    5.jpg (a copy of 3); w_c: 6.jpg (near twin of 4); w_d: 7.jpg cannot be read;
    new_whale: 8.jpg colour and 90 x 30, 9.jpg (a copy of 1); w_e: 10.jpg colour.
    """
    train = tmp_path / "data" / "train"
    save(train / "1.jpg", scene(1))
    shutil.copy(train / "1.jpg", train / "2.jpg")
    save(train / "3.jpg", scene(3), tint=True)
    save(train / "4.jpg", np.stack([scene(4)] * 3, axis=2))
    shutil.copy(train / "3.jpg", train / "5.jpg")
    save(train / "6.jpg", np.stack([scene(4)] * 3, axis=2), quality=60)
    (train / "7.jpg").write_bytes(b"\xff\xd8\xff not a whole picture")
    save(train / "8.jpg", scene(8, 90, 30), tint=True)
    shutil.copy(train / "1.jpg", train / "9.jpg")
    save(train / "10.jpg", scene(10), tint=True)
    labels = ["w_a", "w_a", "w_a", "w_b", "w_b", "w_c", "w_d", NEW_WHALE, NEW_WHALE, "w_e"]
    rows = [f"{i}.jpg,{label}\n" for i, label in enumerate(labels, start=1)]
    (tmp_path / "data" / "train.csv").write_text("Image,Id\n" + "".join(rows))
    return tmp_path / "data"


@pytest.fixture
def found(collection: Path, tmp_path: Path) -> Exploration:
    return explore(collection, tmp_path / "out")


def test_photos_and_whales_are_counted_and_new_whale_apart(found: Exploration) -> None:
    whales = found.whales
    assert (found.photos, found.readable) == (10, 9)
    assert (whales.individuals, whales.named_photos, whales.new_whale_photos) == (5, 8, 2)
    assert [(step.photos, step.individuals) for step in whales.tail] == [(1, 3), (2, 1), (3, 1)]
    assert [(top.individual, top.photos) for top in whales.most[:3]] == [
        ("w_a", 3), ("w_b", 2), ("w_c", 1),
    ]  # fmt: skip
    assert (whales.one_photo, whales.median_photos) == (3, 1.0)


def test_a_whale_whose_photos_are_copies_of_one_file_counts_as_one_file(tmp_path: Path) -> None:
    for name in ("w/1.jpg", "w/2.jpg", "v/3.jpg"):
        save(tmp_path / "data" / name, scene(1 if name[0] == "w" else 2))
    save(tmp_path / "data" / "v" / "4.jpg", scene(3))
    whales = explore(tmp_path / "data", tmp_path / "out").whales
    assert (whales.individuals, whales.one_photo, whales.one_file) == (2, 0, 1)


def test_identical_files_and_their_labels(found: Exploration) -> None:
    twins = found.twins
    assert twins.distinct_files == 6  # 1=2=9, 3=5, 4, 6, 8, 10
    assert (twins.identical_groups, twins.identical_files) == (2, 5)
    assert (twins.several_labels, twins.several_named) == (2, 1)
    assert [(same.photos, same.all_labels) for same in twins.identical] == [
        (("1.jpg", "2.jpg", "9.jpg"), (NEW_WHALE, "w_a")),
        (("3.jpg", "5.jpg"), ("w_a", "w_b")),
    ]


def test_near_twins_are_found_and_counted_with_their_labels(found: Exploration) -> None:
    twins = found.twins
    assert (twins.near_pairs, twins.near_pairs_disagreeing) == (1, 1)
    assert twins.near[0].photos == ("4.jpg", "6.jpg")
    assert twins.near[0].labels == (("w_b",), ("w_c",))
    assert 0 < twins.near[0].gap < 10
    assert twins.photos_with_twin == 7  # 1 2 9, 3 5, 4 6


def test_two_named_whales_come_first_among_the_pairs_to_look_at(found: Exploration) -> None:
    pairs = disagreeing(found.twins, 12)
    assert [pair.photos for pair in pairs] == [
        ("3.jpg", "5.jpg"), ("4.jpg", "6.jpg"), ("1.jpg", "9.jpg"),
    ]  # fmt: skip
    assert pairs[2].labels == ("w_a", NEW_WHALE)
    assert len(disagreeing(found.twins, 2)) == 2


def test_grey_and_colour(found: Exploration) -> None:
    colour = found.colour  # grey: 1 2 9 and, saved as RGB, 4 6; colour: 3 5 8 10
    assert (colour.grey, colour.colour) == (5, 4)
    assert sum(shade.photos for shade in colour.shades) == 9


@pytest.mark.parametrize(("mode", "grey"), [("L", True), ("RGB", True), ("tinted", False)])
def test_colour_of_one_photo(tmp_path: Path, mode: str, grey: bool) -> None:
    pixels = np.stack([scene(1)] * 3, axis=2) if mode == "RGB" else scene(1)
    seen = glance(save(tmp_path / "photo.jpg", pixels, tint=mode == "tinted"))
    assert isinstance(seen, Glance)
    assert (seen.colour <= 0.5) is grey


def test_sizes_are_those_of_the_files(found: Exploration) -> None:
    sizes = [(size.width_px, size.height_px, size.photos) for size in found.sizes.sizes]
    assert sizes == [(60, 40, 8), (90, 30, 1)]
    assert found.sizes.width_px == Spread(60, 60, 90)
    assert found.sizes.aspect == Spread(1.5, 1.5, 3.0)


def test_an_unreadable_file_is_listed_and_does_not_stop_it(
    found: Exploration, tmp_path: Path
) -> None:
    (failure,) = found.unreadable
    assert failure.path.name == "7.jpg"
    assert failure.reason
    page = (tmp_path / "out" / "explore.html").read_text(encoding="utf-8")
    assert "7.jpg" in page.split("Files that could not be read")[1]


def test_a_photo_with_two_labels_is_one_photo(tmp_path: Path) -> None:
    path = save(tmp_path / "1.jpg", scene(1))
    rows = tuple(LabelledPhoto("1.jpg", path, label) for label in ("w_a", "w_b"))
    counted = tally(Table(tmp_path, rows), [glance(path)])
    assert (counted.photos, counted.photos_with_several_labels) == (1, 1)
    assert (counted.whales.individuals, counted.whales.named_photos) == (2, 1)
    assert counted.twins.identical_groups == 0


def test_tally_refuses_a_photo_that_was_not_glanced_at(tmp_path: Path) -> None:
    row = LabelledPhoto("1.jpg", tmp_path / "1.jpg", "w_a")
    with pytest.raises(ValueError, match="1 photos were not glanced at"):
        tally(Table(tmp_path, (row,)), [])


def test_nothing_readable_still_gives_a_page(tmp_path: Path) -> None:
    (tmp_path / "data" / "w").mkdir(parents=True)
    (tmp_path / "data" / "w" / "1.jpg").write_bytes(b"")
    counted = explore(tmp_path / "data", tmp_path / "out")
    assert (counted.readable, counted.twins.photos_with_twin) == (0, 0)
    assert {path.name for path in (tmp_path / "out").iterdir()} == OUTPUTS


def test_only_new_whales_still_give_a_page(tmp_path: Path) -> None:
    save(tmp_path / "data" / NEW_WHALE / "1.jpg", scene(1))
    counted = explore(tmp_path / "data", tmp_path / "out")
    assert (counted.whales.individuals, counted.whales.new_whale_photos) == (0, 1)


def test_progress_is_told_of_every_photo(collection: Path, tmp_path: Path) -> None:
    told: list[int] = []
    stages: list[tuple[str, int]] = []

    def progress(stage: str, size: int) -> Step:
        stages.append((stage, size))
        return told.append

    explore(collection, tmp_path / "out", progress=progress)
    assert stages == [("reading", 10)]
    assert told == [1] * 10


def test_what_is_written_is_whole_and_the_same_each_time(collection: Path, tmp_path: Path) -> None:
    explore(collection, tmp_path / "one")
    explore(collection, tmp_path / "two")
    assert {path.name for path in (tmp_path / "one").iterdir()} == OUTPUTS
    for name in OUTPUTS:
        data = (tmp_path / "one" / name).read_bytes()
        assert data == (tmp_path / "two" / name).read_bytes(), name
        if name.endswith(".png"):
            Image.open(io.BytesIO(data)).load()


def test_json_holds_everything_in_a_stable_order(found: Exploration, tmp_path: Path) -> None:
    text = (tmp_path / "out" / "explore.json").read_text(encoding="ascii")
    assert text == to_json(found)
    record = json.loads(text)
    assert json.dumps(record, indent=1) + "\n" == text
    assert list(record) == list(Exploration.__slots__)
    assert record["whales"]["tail"][0] == {"photos": 1, "individuals": 3}
    assert record["twins"]["identical"][1]["labels"] == [["w_a"], ["w_b"]]
    assert record["unreadable"][0]["path"].endswith("7.jpg")


def test_an_output_folder_that_is_a_file_is_said_in_one_line(
    collection: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(FlukeprintError, match="out"):
        explore(collection, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


class _Tags(HTMLParser):
    """Every tag, attribute and link of a page, as a browser would see them."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.attributes: set[str] = set()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes.update(name for name, _ in attrs)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]


HOSTILE = [
    "<script>alert(1)<script>",
    '"><img src=x onerror=alert(1)>',
    "$\\frac{1}{",
    "two\nlines",
    "{{ 7*7 }}{% raw %}",
    "\u202egnp.exe",
    "\udcff\udc80 not utf-8",
    "鯨",
    "w" * 200,
]


def test_hostile_names_neither_break_nor_inject(tmp_path: Path) -> None:
    for i, name in enumerate(HOSTILE):
        save(tmp_path / "data" / name / "1.jpg", scene(i // 2))  # pairs of identical files
        (tmp_path / "data" / name / "broken$<b>.jpg").write_bytes(b"")
    counted = explore(tmp_path / "data", tmp_path / "out")
    assert (counted.whales.individuals, counted.twins.several_named) == (9, 4)
    record = json.loads((tmp_path / "out" / "explore.json").read_text())
    assert {top["individual"] for top in record["whales"]["most"]} == set(HOSTILE)
    page = (tmp_path / "out" / "explore.html").read_bytes().decode("utf-8")  # strict
    tags = _Tags()
    tags.feed(page)
    assert not tags.seen & {"script", "iframe", "object", "link", "form", "a", "base"}
    assert not any(name.startswith("on") for name in tags.attributes)
    assert all(link.startswith("data:image/png;base64,") for link in tags.links)
    assert "&lt;script&gt;alert(1)" in page
    assert "{{ 7*7 }}" in page
    assert not re.search("[\u202a-\u202e\x00]", page)


def test_the_page_asks_for_nothing_from_outside(found: Exploration, tmp_path: Path) -> None:
    page = (tmp_path / "out" / "explore.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    assert "http://" not in page
    assert "https://" not in page
    assert "url(" not in page
    assert "8 of 5 catalogued whales" in page


def test_a_note_on_the_table_reaches_the_page(tmp_path: Path) -> None:
    data = tmp_path / "data"
    save(data / "train" / "1.jpg", scene(1))
    (data / "train.csv").write_text("Image,Id\n1.jpg,w_a\n1.jpg,w_a\n")
    explore(data, tmp_path / "out")
    assert "1 row repeats" in (tmp_path / "out" / "explore.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plots.sizes_plot(
            Sizes(Spread(1, 2, 3), Spread(1, 2, 3), Spread(1, 1, 1),
                  tuple(Size(100 + i, 50 + i * i, 1 + i) for i in range(70)))
        ),
        lambda: plots.sizes_plot(
            Sizes(Spread(9, 9, 9), Spread(1, 1, 1), Spread(9, 9, 9), (Size(9000, 10, 1),))
        ),
        lambda: plots.colour_plot(
            Colour(0.5, 0, 0, (Shade("grey", 0.5, 0),))
        ),
    ],
)  # fmt: skip
def test_plots_of_odd_counts(draw: Callable[[], bytes]) -> None:
    assert draw().startswith(b"\x89PNG")


def test_plot_of_a_whale_with_thousands_of_photos(tmp_path: Path) -> None:
    rows = [LabelledPhoto(f"{i}", tmp_path / f"{i}", "w_a") for i in range(3000)]
    rows += [LabelledPhoto("b", tmp_path / "b", "w_b")]
    counted = tally(Table(tmp_path, tuple(rows)), [Failure(row.path, "gone") for row in rows])
    assert plots.whales_plot(counted.whales).startswith(b"\x89PNG")
    assert (counted.whales.one_photo, counted.whales.one_file) == (1, 0)


@pytest.mark.parametrize(
    ("part", "whole", "words"),
    [
        (0, 10, "0 %"), (1, 4, "25 %"), (4, 4, "100 %"), (1, 8350, "under 0.1 %"),
        (5, 1000, "0.5 %"), (8349, 8350, "over 99.9 %"), (0, 0, "0 %"),
    ],
)  # fmt: skip
def test_percent(part: int, whole: int, words: str) -> None:
    assert wording.percent(part, whole) == words


def test_plural_and_number() -> None:
    assert wording.plural(1, "whale") == "1 whale"
    assert wording.plural(2220, "whale") == "2,220 whales"
    assert wording.plural(0, "photo is", "photos are") == "0 photos are"
    assert wording.number(8350) == "8,350"


def test_commands_as_they_can_be_pasted(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("flukeprint", "rename", "Old Tom", "it's")
    assert wording.command_text(*words) == """flukeprint rename 'Old Tom' 'it'"'"'s'"""
    monkeypatch.setattr(wording, "WINDOWS", True)
    assert wording.command_text(*words) == 'flukeprint rename "Old Tom" it\'s'


@given(st.text(st.characters(exclude_categories=()), max_size=200), st.integers(3, 80))
def test_one_line_is_short_and_writable(text: str, most: int) -> None:
    line = wording.one_line(text, most)
    assert len(line) <= most
    assert "\n" not in line
    line.encode("utf-8")


def test_importing_explore_is_cheap() -> None:
    code = (
        "import sys, flukeprint.explore;"
        "print({'matplotlib', 'jinja2', 'torch', 'onnxruntime'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.skipif(not WHALES.is_dir(), reason="the whale photos (../shared/whales) are not here")
def test_the_real_collection(tmp_path: Path) -> None:
    counted = explore(WHALES, tmp_path / "out")
    assert (counted.photos, counted.readable) == (8350, 8350)
    assert (counted.whales.individuals, counted.whales.new_whale_photos) == (4008, 560)
    twins = counted.twins
    assert (twins.distinct_files, twins.identical_files) == (7616, 1467)
    assert (twins.identical_groups, twins.several_labels, twins.several_named) == (733, 176, 10)
    assert [(size.width_px, size.height_px) for size in counted.sizes.sizes] == [(100, 100)]
