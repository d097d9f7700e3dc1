"""JSON and CSV answers: exact text for small cases, and any name back as it was."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flukeprint.cells import guard, unguard
from flukeprint.outputs import (
    json_line,
    likeliest,
    look_line,
    remarks,
    seen_in,
    share,
    verdict,
    write_csv,
)
from flukeprint.records import NEW_WHALE, Box, Candidate, Failure, Identification, Look
from tests.tiny import UNSEEN, seen

ANSWER = Identification(
    "flukes/a.jpg",
    (Candidate("w_1", 0.5, ("1.jpg", "2.jpg")), Candidate("w_2", 0.25, ("3.jpg",))),
    0.125,
    look=seen(0.625),
)
NO_FLUKE = Identification("c.jpg", look=UNSEEN)
UNREAD = Identification("b.jpg", failure="the file is empty (0 bytes)")

# Names as people type them, as disks hold them, and as someone would who means harm.
TEXT = st.one_of(
    st.text(),
    st.binary().map(os.fsdecode),
    st.text(alphabet="'=+-@＝＋－＠\t\r\n \",;a"),
)
SHARE = st.floats(0, 1)
ANSWERS = st.builds(
    Identification,
    photo=TEXT,
    candidates=st.lists(st.builds(Candidate, TEXT, SHARE), max_size=3).map(tuple),
    new=st.none() | SHARE,
    failure=st.none() | TEXT.filter(bool),
    look=st.none() | st.builds(seen, SHARE, probability=SHARE),
)


def test_likeliest_is_the_most_probable_and_a_whale_where_new_is_as_probable() -> None:
    assert likeliest(ANSWER) == ("w_1", 0.5)
    assert likeliest(replace(ANSWER, new=0.5)) == ("w_1", 0.5)
    assert likeliest(replace(ANSWER, new=0.75)) == (NEW_WHALE, 0.75)
    assert likeliest(Identification("a.jpg", (), 1.0)) == (NEW_WHALE, 1.0)


@pytest.mark.parametrize(
    ("probability", "shown"),
    [
        (0.0, "0 %"),
        (1e-9, "<1 %"),
        (0.0099, "<1 %"),
        (0.01, "1 %"),
        (0.634, "63 %"),
        (0.99, "99 %"),
        (0.991, ">99 %"),
        (1.0, "100 %"),
    ],
)
def test_a_share_is_never_rounded_to_nothing_or_to_all(probability: float, shown: str) -> None:
    assert share(probability) == shown


def test_the_verdict_is_undecided_where_new_is_likeliest_but_not_by_half() -> None:
    assert verdict(ANSWER) == "known"
    assert verdict(Identification("a.jpg", (Candidate("w_1", 0.3),), 0.4)) == "undecided"
    assert verdict(Identification("a.jpg", (Candidate("w_1", 0.3),), 0.5)) == "new"
    assert verdict(NO_FLUKE) == "no fluke"
    assert likeliest(NO_FLUKE) == (NEW_WHALE, 0.0)


def test_a_json_line_is_one_line_with_the_likeliest_few() -> None:
    assert json_line(ANSWER, 1) == (
        '{"photo": "flukes/a.jpg", "box": [100.0, 40.0, 300.0, 120.0], "fluke": 1.0, '
        '"quality": 0.625, "upside_down": false, "tilt_deg": 0.0, "other_flukes": 0, '
        '"candidates": [{"individual": "w_1", "probability": 0.5, '
        '"photos": ["1.jpg", "2.jpg"]}], "new": 0.125, "error": null}'
    )
    assert json_line(NO_FLUKE, 5) == (
        '{"photo": "c.jpg", "box": null, "fluke": 0.125, "quality": 0.25, "upside_down": false, '
        '"tilt_deg": 0.0, "other_flukes": 0, "candidates": [], "new": null, "error": null}'
    )
    assert json_line(UNREAD, 5) == (
        '{"photo": "b.jpg", "box": null, "fluke": null, "quality": null, "upside_down": null, '
        '"tilt_deg": null, "other_flukes": null, "candidates": [], "new": null, '
        '"error": "the file is empty (0 bytes)"}'
    )


def tilted(degrees: float, look: Look) -> Look:
    return replace(look, quality=replace(look.quality, tilt_deg=degrees))


def test_what_was_seen_is_told_in_pixels_and_degrees() -> None:
    """The photo is 400 x 160: its fluke is 200 x 80 and half as wide and high."""
    moved = tilted(-12.3456, seen(box=Box(0.5, 0.125, 1.0, 0.625), upside_down=True, others=2))
    assert seen_in(moved) == {
        "box": [200.0, 20.0, 400.0, 100.0],
        "fluke": 1.0,
        "quality": 0.5,
        "upside_down": True,
        "tilt_deg": -12.35,
        "other_flukes": 2,
    }


@given(SHARE)
def test_there_is_a_box_exactly_where_a_fluke_is_seen(probability: float) -> None:
    look = seen(probability=probability)
    assert (seen_in(look)["box"] is not None) is look.fluke.seen
    assert seen_in(look)["fluke"] == pytest.approx(probability, abs=1e-6)


def test_a_line_on_a_look_names_the_crop_or_the_error() -> None:
    assert look_line("a.jpg", seen(), Path("out/a.png")) == (
        '{"photo": "a.jpg", "box": [100.0, 40.0, 300.0, 120.0], "fluke": 1.0, "quality": 0.5, '
        '"upside_down": false, "tilt_deg": 0.0, "other_flukes": 0, "crop": "out/a.png", '
        '"error": null}'
    )
    output = json.loads(look_line("a.jpg", UNSEEN, None))
    assert (output["box"], output["fluke"], output["crop"], output["error"]) == (
        None,
        0.125,
        None,
        None,
    )
    output = json.loads(look_line("a.jpg", Failure(Path("a.jpg"), "empty"), None))
    assert output.pop("photo") == "a.jpg"
    assert output.pop("error") == "empty"
    assert set(output.values()) == {None}


@pytest.mark.parametrize(
    ("look", "output"),
    [
        (seen(), []),
        (UNSEEN, ["no fluke seen"]),
        (seen(others=1), ["the largest of 2 flukes is used"]),
        (seen(upside_down=True), ["upside down, turned"]),
        (tilted(9.9, seen()), []),
        (tilted(-10.0, seen()), ["tilted by 10 degrees, levelled"]),
        (seen(0.34), ["poor photo"]),
    ],
)
def test_what_a_person_should_know_of_a_photo(look: Look, output: list[str]) -> None:
    assert remarks(look) == output


def test_a_small_fluke_is_remarked_upon() -> None:
    small = replace(seen(), quality=replace(seen().quality, height_px=47.6))
    assert remarks(small) == ["small: 200 x 48 pixels"]


@given(TEXT, TEXT)
@example("new\nline\u2028.jpg", os.fsdecode(b"\xff\xc3"))
def test_json_gives_any_name_back_from_one_ascii_line(photo: str, whale: str) -> None:
    line = json_line(Identification(photo, (Candidate(whale, 0.5, (photo,)),), 0.5), 5)
    assert line.isascii()
    assert len(line.splitlines()) == 1
    read = json.loads(line)
    assert read["photo"] == photo
    assert read["candidates"] == [{"individual": whale, "probability": 0.5, "photos": [photo]}]


def test_a_csv_has_the_named_columns_and_guards_formulas(tmp_path: Path) -> None:
    harmful = Identification("=cmd|' /C calc'!A0", (Candidate("-w;=1", 0.5),), 0.5)
    asked = replace(ANSWER, to_review=3)
    write_csv([asked, UNREAD, harmful, NO_FLUKE], 2, tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines() == [
        '"photo","fluke","quality","new","to_review",'
        '"answer_1","probability_1","answer_2","probability_2","remarks","error"',
        '"flukes/a.jpg",1.0,0.625,0.125,3,"w_1",0.5,"w_2",0.25,"",""',
        '"b.jpg","","","","","","","","","","the file is empty (0 bytes)"',
        '"\'=cmd|\' /C calc\'!A0","","",0.5,"","\'-w;=1",0.5,"","","",""',
        '"c.jpg",0.125,"","","","","","","","no fluke seen",""',
    ]


def read_back(path: Path) -> list[Identification]:
    """The answers in a CSV file, without their photos and what was seen."""
    # Not UTF-8 on disk is not UTF-8 here: such a name is kept byte for byte.
    text = path.read_bytes().decode("utf-8", errors="surrogateescape")
    _, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    return [
        Identification(
            unguard(photo),
            tuple(
                Candidate(unguard(name), float(probability))
                for name, probability in zip(named[::2], named[1::2], strict=True)
                if probability
            ),
            float(new) if new else None,
            unguard(error) or None,
        )
        for photo, _, _, new, _, *named, _, error in rows
    ]


def test_a_csv_keeps_the_likeliest_few(tmp_path: Path) -> None:
    write_csv([ANSWER], 1, tmp_path / "out.csv")
    assert read_back(tmp_path / "out.csv") == [
        Identification("flukes/a.jpg", (Candidate("w_1", 0.5),), 0.125)
    ]


@settings(deadline=None)
@given(st.lists(ANSWERS, max_size=4))
@example([Identification("\r\n", (Candidate("'=1", 1.0), Candidate("", 0.0)), 0.0, '"\n,\r')])
@example([Identification(os.fsdecode(b"\xc3"), (), None), Identification("\ufeff", (), 1e-300)])
def test_any_answers_come_back_from_a_csv(answers: list[Identification]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write_csv(answers, 3, Path(folder) / "out.csv")
        unlooked = [replace(answer, look=None) for answer in answers]
        assert read_back(Path(folder) / "out.csv") == unlooked


@pytest.mark.parametrize(
    "cell",
    [
        *("=1+1", "+1", "-1", "@SUM(1)", "＝1", "＋1", "－1", "＠x"),
        *("\t=1", "\r=1", "\n=1", " =1", "  \t+1", "'=1", "'"),
    ],
)
def test_a_cell_that_a_spreadsheet_may_run_is_guarded(cell: str) -> None:
    assert guard(cell) == f"'{cell}"


@pytest.mark.parametrize("cell", ["", "w_1", "a=b", "1-2", "it's", " w"])
def test_any_other_cell_is_left_alone(cell: str) -> None:
    assert guard(cell) == cell
    assert unguard(cell) == cell


@given(TEXT)
def test_unguard_undoes_guard(cell: str) -> None:
    assert unguard(guard(cell)) == cell
