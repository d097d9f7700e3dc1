"""What the terminal shows, line by line: in a pipe, and in a window of 80 columns."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from flukeprint import console
from flukeprint.console import (
    answers_table,
    demo_summary,
    look_row,
    metrics_table,
    places_shown,
)
from flukeprint.console_progress import progress_bar
from flukeprint.demo import DemoResult
from flukeprint.evaluate import Report
from flukeprint.records import NEW_WHALE, Candidate, Failure, Identification, Interval
from tests.tiny import UNSEEN, seen

KNOWN = Identification("a.jpg", (Candidate("w_1", 0.5), Candidate("whale two", 0.25)), 0.125)
STRANGE = Identification("long/name.jpg", (Candidate("w_2", 0.004),), 0.995)
NO_FLUKE = Identification("sea.jpg", look=UNSEEN)
UNREAD = Identification("bad.jpg", failure="damaged picture: cut short")
Window = Callable[[int], io.StringIO]


@pytest.fixture
def window(monkeypatch: pytest.MonkeyPatch) -> Window:
    """Makes stdout a terminal without colours, so many columns wide."""

    def opened(width: int) -> io.StringIO:
        stream = io.StringIO()
        shown = Console(
            file=stream, force_terminal=True, color_system=None, width=width, highlight=False
        )
        monkeypatch.setattr(console, "_stdout", lambda: shown)
        return stream

    return opened


def test_answers_in_a_pipe_are_aligned_rows_then_failures_then_one_summary(
    capsys: pytest.CaptureFixture[str],
) -> None:
    answers_table([UNREAD, KNOWN, STRANGE], 5)
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "photo            new  likeliest whales",
        "a.jpg           12 %  w_1 50 %  whale two 25 %",
        "long/name.jpg  >99 %  w_2 <1 %",
        "bad.jpg: damaged picture: cut short",
        "3 photos: 1 likely known, 1 likely new, 1 could not be read",
    ]
    assert err == ""


def test_photos_without_a_fluke_come_after_the_table_and_are_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    answers_table([NO_FLUKE, UNREAD, KNOWN], 1)
    answers_table([NO_FLUKE], 1)
    assert capsys.readouterr().out.splitlines() == [
        "photo   new  likeliest whales",
        "a.jpg  12 %  w_1 50 %",
        "sea.jpg: no fluke seen",
        "bad.jpg: damaged picture: cut short",
        "3 photos: 1 likely known, 0 likely new, 1 no fluke, 1 could not be read",
        "sea.jpg: no fluke seen",
        "1 photo: 0 likely known, 0 likely new, 1 no fluke",
    ]


def test_a_look_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    look_row("a.jpg", seen(0.625, probability=0.875))
    look_row("b.jpg", seen(0.25, others=1, upside_down=True))
    look_row("sea.jpg", UNSEEN)
    look_row("bad.jpg", Failure(Path("bad.jpg"), "damaged picture:\ncut short"))
    assert capsys.readouterr().out.splitlines() == [
        "a.jpg  fluke 88 %, 200 x 80 pixels, quality 0.62",
        "b.jpg  fluke 100 %, 200 x 80 pixels, quality 0.25; the largest of 2 flukes is used; "
        "upside down, turned; poor photo",
        "sea.jpg  no fluke seen (fluke 12 %)",
        "bad.jpg: damaged picture: cut short",
    ]


def test_quality_and_what_was_odd_stand_beside_the_answer(
    capsys: pytest.CaptureFixture[str], window: Window
) -> None:
    odd = replace(KNOWN, photo="b.jpg", look=seen(0.25, others=1, upside_down=True))
    answers = [replace(KNOWN, look=seen(0.625)), odd]
    answers_table(answers, 1)
    rows = [
        "photo  quality   new  likeliest whales",
        "a.jpg     0.62  12 %  w_1 50 %",
        "b.jpg     0.25  12 %  w_1 50 %",
    ]
    notes = "the largest of 2 flukes is used; upside down, turned; poor photo"
    shown = capsys.readouterr().out.splitlines()
    assert shown[:3] == [*rows[:2], f"{rows[2]}  ({notes})"]
    stream = window(80)
    answers_table(answers, 1)
    assert stream.getvalue().splitlines()[:4] == [*rows, f"  {notes}"]


def test_only_the_asked_for_whales_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    answers_table([KNOWN], 1)
    assert capsys.readouterr().out.splitlines() == [
        "photo   new  likeliest whales",
        "a.jpg  12 %  w_1 50 %",
        "1 photo: 1 likely known, 0 likely new",
    ]


def test_no_answers_and_only_failures_have_no_table(capsys: pytest.CaptureFixture[str]) -> None:
    answers_table([], 5)
    answers_table([UNREAD], 5)
    assert capsys.readouterr().out.splitlines() == [
        "0 photos: 0 likely known, 0 likely new",
        "bad.jpg: damaged picture: cut short",
        "1 photo: 0 likely known, 0 likely new, 1 could not be read",
    ]


def test_a_pipe_never_cuts_a_name_and_a_window_shows_what_fits(
    capsys: pytest.CaptureFixture[str], window: Window
) -> None:
    photo = "expedition/" * 8 + "IMG_0001.jpg"
    whales = tuple(Candidate(f"whale_{k}_{'x' * 30}", 0.1) for k in range(5))
    answers = [Identification(photo, whales, 0.5)]
    answers_table(answers, 5)
    row = capsys.readouterr().out.splitlines()[1]
    assert row.startswith(f"{photo}  50 %  whale_0_{'x' * 30} 10 %  ")
    assert row.count(" 10 %") == 5
    assert [places_shown(answers, top) for top in (5, 3)] == [5, 3]
    stream = window(80)
    assert [places_shown(answers, top) for top in (5, 1)] == [2, 1]
    assert places_shown([NO_FLUKE, UNREAD], 5) == 5
    answers_table(answers, 5)
    assert stream.getvalue().splitlines()[:2] == [
        "photo          new  likeliest whales, first 2 of 5",
        "IMG_0001.jpg  50 %  whale_0_xx…xxxxxxxxx 10 %  whale_1_xx…xxxxxxxxx 10 %",
    ]


def test_every_row_fits_a_window_of_80_columns(window: Window) -> None:
    photos = ["a" * 200 + ".jpg", "クジラ" * 30 + ".jpg", "short.jpg", "d/" * 60 + "1.jpg"]
    whales = tuple(Candidate("クジラ" * 9, 0.1) for _ in range(3))
    stream = window(80)
    answers_table([Identification(photo, whales, 0.2) for photo in photos], 5)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 6
    assert max(map(cell_len, lines)) <= 80


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("[red]x[/red]", "[red]x[/red]"),
        ("a\nb\r\tc", "a b c"),
        ("\x1b[2J\x07", "�[2J�"),
        (os.fsdecode(b"\xff.jpg"), "�.jpg"),
        (":smile: [link=x]", ":smile: [link=x]"),
        ("\u202egpj.exe", "�gpj.exe"),
    ],
)
def test_a_hostile_name_is_only_text_on_its_row(
    capsys: pytest.CaptureFixture[str], name: str, shown: str
) -> None:
    answers_table(
        [
            Identification(name, (Candidate(name, 0.5),), 0.25),
            Identification(name, failure=name),
            Identification(name, look=UNSEEN),
        ],
        5,
    )
    look_row(name, seen())
    look_row(name, Failure(Path(name), name))
    _, row, unseen, failure, _, look, bad = capsys.readouterr().out.splitlines()
    assert row == f"{shown}  25 %  {shown} 50 %"
    assert unseen == f"{shown}: no fluke seen"
    assert failure == bad == f"{shown}: {shown}"
    assert look.startswith(f"{shown}  fluke 100 %")


def test_a_stream_that_cannot_carry_a_character_gets_a_question_mark(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, "ascii", write_through=True))
    answers_table([Identification("é.jpg", (), 1.0)], 5)
    assert raw.getvalue().splitlines()[1] == b"?.jpg  100 %"


def report(system: str, metrics: dict[str, Interval], protocol: str = "open-set") -> Report:
    confused = [(NEW_WHALE, "w_1", 12), ("w_[red]", "w_3", 1)] + [("a", "b", 1)] * 5
    return Report(system, protocol, 6_000, 1, 561, 1_274, metrics, confused, [])


FULL = {
    "map5": Interval(0.512, 0.48, 0.5444),
    "top1_known": Interval(1.0, 1.0, 1.0),
    "auroc_known": Interval(0.75, 0.5, 0.875),
    "calibration_error": Interval(0.0625, 0.05, 0.075),
    "f1_macro": Interval(float("nan"), float("nan"), float("nan")),
    "f1_weighted": Interval(0.1, 0.1, 0.1),
}
HEAD = (
    "                               MAP@5                top-1                top-5"
    "                AUROC                  ECE             macro F1"
)


def test_metrics_in_a_pipe_are_one_row_per_system(capsys: pytest.CaptureFixture[str]) -> None:
    metrics_table([report("flukeprint", FULL), report("new_whale first", {"map5": FULL["map5"]})])
    assert capsys.readouterr().out.splitlines() == [
        "open-set",
        HEAD,
        "flukeprint       0.512 (0.480-0.544)  1.000 (1.000-1.000)                    -"
        "  0.750 (0.500-0.875)  0.062 (0.050-0.075)                    -",
        "new_whale first  0.512 (0.480-0.544)" + "                    -" * 5,
        "1,835 queries: 561 of known whales, 1,274 of new whales",
        "gallery: 6,000 photos of 1 whale",
        "flukeprint most often took",
        "  new_whale for w_1  12 times",
        "  w_[red] for w_3  1 time",
        "  a for b  1 time",
        "  a for b  1 time",
        "  a for b  1 time",
    ]


def test_metrics_fit_a_window_of_80_columns(window: Window) -> None:
    stream = window(80)
    metrics_table([report("twins' labels, new_whale", FULL)])
    assert stream.getvalue().splitlines()[1:4] == [
        "                      MAP@5        top-1        top-5        AUROC     macro F1",
        "twins' labels,        0.512        1.000            -        0.750            -",
        "new_whale       0.480-0.544  1.000-1.000               0.500-0.875",
    ]


def test_each_protocol_and_each_fold_has_its_block(capsys: pytest.CaptureFixture[str]) -> None:
    systems = [("flukeprint", "kfold"), ("base", "kfold")] * 2 + [("base", "closed-set")]
    metrics_table([report(system, FULL, protocol) for system, protocol in systems])
    lines = capsys.readouterr().out.splitlines()
    starts = [place for place, line in enumerate(lines) if line in ("kfold", "closed-set")]
    assert [lines[place] for place in starts] == ["kfold", "kfold", "closed-set"]
    assert [lines[place - 1] for place in starts[1:]] == ["", ""]
    assert sum(line == "flukeprint most often took" for line in lines) == 2


def test_the_demo_is_told_in_counts_examples_and_where_to_look(
    capsys: pytest.CaptureFixture[str],
) -> None:
    examples = (("w_1", KNOWN), (NEW_WHALE, STRANGE), ("w_1", STRANGE))
    demo_summary(DemoResult(40, 38, 10, 9, 1, examples, Path("out/sheet.html")))
    assert capsys.readouterr().out.splitlines() == [
        "38 of 40 new photos of catalogued whales: named right",
        "9 of 10 photos of strangers: recognised as new",
        "1 photo could not be read",
        "  a.jpg     w_1 (50 %), right",
        "  name.jpg  new_whale (>99 %), right",
        "  name.jpg  new_whale (>99 %), wrong: it is w_1",
        "look at them: out/sheet.html",
    ]


class Clock:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_short_work_is_quiet_and_long_work_is_one_line_a_stage(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    with progress_bar(clock) as progress:
        step = progress("gallery", 8_000)
        clock.now += 1.5
        step(8_000)
        step = progress("photos", 3_000)
        for _ in range(3):
            clock.now += 4
            step(1_000)
        step = progress("sheet", 10)
        clock.now += 4
        step(2)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "photos: 3,000 in 12 s (250.0/s)",
        "sheet: 2 of 10 in 4 s (0.5/s)",
    ]


def test_an_error_goes_through_without_a_word(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        clock = Clock()
        with progress_bar(clock) as progress:
            step = progress("photos", 10)
            clock.now += 4
            step(1)
            raise KeyError

    with pytest.raises(KeyError):
        work()
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar_for_long_work_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    for seconds, shown in ((1.0, False), (4.0, True)):
        clock, stream = Clock(), Terminal()
        with monkeypatch.context() as patched:
            patched.setattr(sys, "stderr", stream)
            with progress_bar(clock) as progress:
                step = progress("photos", 10)
                clock.now += seconds
                step(8)
        assert ("8 of 10" in stream.getvalue()) is shown
        assert ("━" in stream.getvalue()) is shown


def test_help_does_not_import_rich() -> None:
    code = (
        "import sys; from flukeprint.cli import cli; "
        "cli(['--help'], standalone_mode=False); sys.exit('rich' in sys.modules)"
    )
    source = Path(console.__file__).parents[1]
    subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(source)},
    )
