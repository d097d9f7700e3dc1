"""The page of answers: what is on it, in which order, and nothing that a name could smuggle in."""

from __future__ import annotations

import base64
import io
import os
import re
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flukeprint import sheet
from flukeprint.errors import FlukeprintError
from flukeprint.progress import Step
from flukeprint.records import Box, Candidate, Fluke, Identification, LabelledPhoto, Table
from flukeprint.sheet import CUT_PX, MISSING, thumbnail, write_sheet
from tests.tiny import UNSEEN, seen

VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """A page taken apart: its tags, its pictures in order, and its text by the innermost tag."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: Counter[str] = Counter()
        self.pictures: list[str] = []
        self.text: list[tuple[str, str]] = []
        self.widths: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        found = dict(attrs)
        if tag == "img":
            self.pictures.append(found["src"] or "")
        if "style" in found:
            self.widths.append(found["style"] or "")
        assert not any(name.startswith("on") for name in found)
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self._open[-1] != "style":
            self.text.append((self._open[-1], " ".join(data.split())))

    def of(self, tag: str) -> list[str]:
        return [text for inner, text in self.text if inner == tag]


def save(path: Path, width: int, height: int, colour: tuple[int, int, int]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (width, height), colour).save(path)
    return path


def opened(uri: str) -> Image.Image:
    head, data = uri.split(",", 1)
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


RED, GREEN, BLUE = (200, 0, 0), (0, 200, 0), (0, 0, 200)


@pytest.fixture
def table(tmp_path: Path) -> Table:
    rows = [("w_1/g.png", "w_1", GREEN), ("w_2/b.png", "w_2", BLUE)]
    return Table(
        tmp_path,
        tuple(LabelledPhoto(n, save(tmp_path / n, 60, 40, c), whale) for n, whale, c in rows),
    )


def page_of(answers: list[Identification], table: Table, path: Path, top: int = 5) -> Page:
    write_sheet(answers, table, path, top)
    return Page(path.read_text(encoding="utf-8"))


def test_failures_come_first_and_each_photo_lies_beside_its_whales(
    tmp_path: Path, table: Table
) -> None:
    asked = save(tmp_path / "asked.png", 440, 220, RED)
    candidates = (Candidate("w_1", 0.625, ("w_1/g.png",)), Candidate("w_2", 0.25, ("w_2/b.png",)))
    answers = [
        Identification(str(asked), candidates, 0.0625, look=seen(0.625)),
        Identification("bad.jpg", failure="damaged picture: cut short"),
    ]
    page = page_of(answers, table, tmp_path / "sheet.html")
    assert page.of("h2") == ["Could not be read", "Answers"]
    assert page.of("li") == ["damaged picture: cut short"]
    assert page.of("h3") == ["Likeliest"]
    assert page.of("bdi") == [
        str(tmp_path), "bad.jpg", "asked.png", "w_1", "w_1", "g.png", "w_2", "b.png",
    ]  # fmt: skip
    assert page.of("span") == ["new whale", "6 %", "62 %", "25 %"]
    frame = "left:25.00%;top:25.00%;width:50.00%;height:50.00%"
    assert page.widths == [frame, "width:6.2%", "width:62.5%", "width:25.0%"]
    assert page.of("p")[3:5] == ["fluke 100 %", "quality 0.62"]
    pictures = [opened(uri) for uri in page.pictures]
    assert [picture.size for picture in pictures] == [
        (220, 110), (CUT_PX, CUT_PX), (60, 40), (60, 40),
    ]  # fmt: skip
    # What the model sees of a plain red fluke is mid-grey.
    assert (pictures[1].mode, np.asarray(pictures[1]).tolist()) == ("L", [[128] * 128] * 128)
    del pictures[1]
    for picture, colour in zip(pictures, (RED, GREEN, BLUE), strict=True):
        np.testing.assert_allclose(np.asarray(picture)[0, 0], colour, atol=4)


def test_a_new_whale_is_told_and_only_the_asked_for_whales_are_shown(
    tmp_path: Path, table: Table
) -> None:
    asked = save(tmp_path / "asked.png", 30, 20, RED)
    candidates = (Candidate("w_1", 0.2, ("w_1/g.png",)), Candidate("w_2", 0.1, ("w_2/b.png",)))
    page = page_of(
        [Identification(str(asked), candidates, 0.7, look=seen())],
        table,
        tmp_path / "sheet.html",
        top=1,
    )
    assert page.of("h3") == ["Likeliest a new whale"]
    assert page.of("h2") == ["Answers"]
    assert page.of("p")[0] == (
        "1 photo: 0 likeliest of a catalogued whale, 1 likeliest of a new one."
    )
    assert page.of("span") == ["new whale", "70 %", "20 %"]
    assert len(page.pictures) == 3


def test_a_photo_without_a_fluke_is_shown_and_not_compared(tmp_path: Path, table: Table) -> None:
    asked = save(tmp_path / "sea.png", 30, 20, RED)
    page = page_of([Identification(str(asked), look=UNSEEN)], table, tmp_path / "sheet.html")
    assert page.of("h3") == ["No fluke seen: not compared"]
    assert page.of("p")[0] == (
        "1 photo: 0 likeliest of a catalogued whale, 0 likeliest of a new one, 1 without a fluke."
    )
    assert page.of("p")[-1] == "A fluke is 12 % likely here."
    assert [opened(uri).size for uri in page.pictures] == [(30, 20)]
    assert page.widths == []
    assert page.of("span") == []


def test_what_is_odd_of_a_fluke_is_told_below_it(tmp_path: Path, table: Table) -> None:
    asked = save(tmp_path / "asked.png", 30, 20, RED)
    look = seen(0.25, others=2, upside_down=True)
    page = page_of([Identification(str(asked), (), 1.0, look=look)], table, tmp_path / "s.html")
    assert page.of("p")[3:] == [
        "fluke 100 %", "quality 0.25", "the largest of 3 flukes is used", "upside down, turned",
        "poor photo",
    ]  # fmt: skip


def test_the_crop_on_the_page_is_the_fluke_as_it_was_found(tmp_path: Path) -> None:
    """Black to the left and white to the right of a middle that is all there is in the box."""
    pixels = np.zeros((40, 80, 3), dtype=np.uint8)
    pixels[:, 40:] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    box = Box(0.375, 0.25, 0.625, 0.75)
    for upside_down in (False, True):
        fluke = Fluke(box, upside_down=upside_down)
        cut = np.asarray(opened(thumbnail(tmp_path / "a.png", fluke)))
        assert cut.shape == (CUT_PX, CUT_PX)
        left, right = float(cut[:, :40].mean()), float(cut[:, -40:].mean())
        assert abs(left - right) > 80
        assert (left > right) is upside_down


def test_photos_of_one_name_are_told_apart_by_their_folders(tmp_path: Path, table: Table) -> None:
    asked = [save(tmp_path / day / "1.png", 9, 9, RED) for day in ("monday", "tuesday")]
    page = page_of(
        [Identification(str(path), (), 1.0, look=seen()) for path in asked],
        table,
        tmp_path / "sheet.html",
    )
    captions = page.of("bdi")[1:]
    assert [caption[-12:] for caption in captions] == ["monday/1.png", "uesday/1.png"]


def test_a_photo_that_went_away_and_a_whale_without_one_have_a_stand_in(
    tmp_path: Path, table: Table
) -> None:
    answer = Identification(str(tmp_path / "gone.jpg"), (Candidate("w_9", 0.5),), 0.25, look=seen())
    page = page_of([answer], table, tmp_path / "sheet.html")
    assert page.pictures == [MISSING, MISSING]
    assert "no photo in the gallery" in page.of("div")


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)<x>",
        '" onload="x',
        '\' src="thumbnail:0"',
        "{{ 7 * 7 }}",
        "a\nb\x1b[31m",
        os.fsdecode(b"\xff"),
        "&lt;b&gt;",
        "\u202egpj.exe",
    ],
)
def test_a_hostile_name_is_only_text(tmp_path: Path, name: str) -> None:
    asked = save(tmp_path / "asked.png", 20, 10, RED).rename(tmp_path / f"{name}.png")
    photo = LabelledPhoto(name, asked, name)
    answers = [
        Identification(str(asked), (Candidate(name, 0.5, (name,)),), 0.25, look=seen()),
        Identification(name, failure=name),
    ]
    page = page_of(answers, Table(Path(name), (photo,)), tmp_path / "sheet.html")
    assert "script" not in page.tags
    sizes = [opened(uri).size for uri in page.pictures]
    assert sizes == [(20, 10), (CUT_PX, CUT_PX), (20, 10)]
    shown = re.sub("[\ud800-\udfff\x1b\u202e]", "\N{REPLACEMENT CHARACTER}", name)
    assert " ".join(shown.split()) in page.of("b") + page.of("bdi")


def test_the_page_needs_no_network_and_runs_nothing(tmp_path: Path, table: Table) -> None:
    write_sheet([], table, tmp_path / "sheet.html")
    text = (tmp_path / "sheet.html").read_text(encoding="utf-8")
    assert "default-src 'none'" in text
    assert not re.search(r"https?://|url\(|@import|<script|<link", text)
    assert "0 photos" in text


def test_each_distinct_photo_is_decoded_once_and_counted_as_shown(
    tmp_path: Path, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[tuple[str, bool]] = []
    told: list[tuple[str, int]] = []
    done: list[int] = []

    def counting(path: Path, fluke: Fluke | None) -> str:
        decoded.append((path.name, fluke is not None))
        return thumbnail(path, fluke)

    def progress(stage: str, size: int) -> Step:
        told.append((stage, size))
        return done.append

    monkeypatch.setattr(sheet, "thumbnail", counting)
    monkeypatch.setattr(sheet, "AHEAD", 2)
    asked = [save(tmp_path / f"{k}.png", 9, 9, RED) for k in range(5)]
    whales = (Candidate("w_1", 0.5, ("w_1/g.png",)), Candidate("w_2", 0.1, ("w_2/b.png",)))
    answers = [Identification(str(path), whales, 0.25, look=seen()) for path in asked]
    write_sheet([*answers, answers[0]], table, tmp_path / "sheet.html", progress=progress)
    names = [(f"{k}.png", cut) for k in range(5) for cut in (False, True)]
    assert sorted(decoded) == [*names, ("b.png", False), ("g.png", False)]
    assert told == [("sheet", 24)]
    assert done == [1] * 24


@pytest.mark.parametrize(
    ("size", "shown"),
    [((2200, 1100), (220, 110)), ((100, 3300), (10, 330)), ((1, 1), (1, 1)), ((221, 1), (220, 1))],
)
def test_a_thumbnail_keeps_its_shape_and_never_grows(
    tmp_path: Path, size: tuple[int, int], shown: tuple[int, int]
) -> None:
    assert opened(thumbnail(save(tmp_path / "a.png", *size, RED))).size == shown


def test_a_page_that_cannot_be_written_is_told(tmp_path: Path, table: Table) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FlukeprintError, match="cannot be written"):
        write_sheet([], table, tmp_path / "file" / "sheet.html")
