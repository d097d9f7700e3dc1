"""The catalogue's commands as a user meets them."""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flukeprint import cli_decisions, cli_export, cli_import, exports
from flukeprint.catalogue import Catalogue, NoWhale, check, log
from flukeprint.catalogue.facts import ORDERS
from flukeprint.catalogue.salvage import CUT_OFF
from flukeprint.errors import FlukeprintError
from flukeprint.model import Model, save_model
from tests.catalogue.small import cut_off
from tests.conftest import Call
from tests.tiny import picture


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call) -> Call:
    """Call a command about tmp_path/book in this process: exit code, stdout, stderr."""
    monkeypatch.setenv("FLUKEPRINT_CATALOGUE", str(tmp_path / "book"))
    monkeypatch.setenv("FLUKEPRINT_WHO", "Ann")
    monkeypatch.setenv("FLUKEPRINT_CACHE", str(tmp_path / "cache"))
    return call


@pytest.fixture
def book(run: Call, tmp_path: Path, kaggle: Path) -> Call:
    """The small collection, imported; commands run on it."""
    assert run("catalogue", "init", tmp_path / "book", "--root", kaggle)[0] == 0
    code, out, err = run("catalogue", "import", kaggle)
    assert (code, out) == (
        0,
        "new: 6 photos, 7 files, 0 photos found again elsewhere, 3 individuals; "
        "0 files known already\n",
    )
    assert "backup: " in err
    return run


@pytest.fixture
def model_path(tiny_model: Model, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.fluke"
    save_model(tiny_model.manifest, tiny_model.embedder, tiny_model.localiser, path)
    return path


def output(run: Call, *arguments: object) -> Any:
    code, out, _ = run(*arguments, "--json")
    assert code == 0
    return json.loads(out)


def test_counts(book: Call, kaggle: Path) -> None:
    assert output(book, "catalogue", "show") == {
        "files": 7,
        "photos": 6,
        "individuals": 3,
        "unidentified": 2,
        "without_whale": 0,
        "label_conflicts": 0,
        "to_settle": 0,
        "events": 1,
        "root": str(kaggle),
    }
    assert "        6 photos (a file and its copies are one)\n" in book("catalogue", "show")[1]
    assert book("catalogue", "show")[1].endswith("        1 event in the log\n")


def test_one_of_each(run: Call, tmp_path: Path, write_picture: Callable[..., Path]) -> None:
    photo = write_picture(tmp_path / "w" / "Pepper" / "1.jpg", picture(1))
    run("catalogue", "init", tmp_path / "book")
    run("catalogue", "import", tmp_path / "w")
    lines = [line.strip() for line in run("catalogue", "show")[1].splitlines()]
    assert lines[:4] == [
        *("1 file", "1 photo (a file and its copies are one)", "1 individual"),
        "0 photos unidentified",
    ]
    _, _, err = run("catalogue", "split", "Pepper", "--photos", photo)
    assert "Pepper (individual 1) has 1 photo; name some of them" in err
    run("catalogue", "export", "lines", tmp_path / "all.jsonl")
    _, out, _ = run(
        "catalogue", "import", tmp_path / "all.jsonl", "--catalogue", tmp_path / "again"
    )
    assert "1 photo, 1 file, 1 individual, 1 event" in out
    _, out, _ = run("explore", tmp_path / "w", "--out", tmp_path / "seen")
    assert out.startswith("1 photo: 1 whale + new_whale (0 photos); 1 whale has one photo\n")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("gone.csv", None, "gone.csv: no such file; check the spelling\n"),
        ("gone.json", None, "gone.json: not a labelled collection; check the spelling\n"),
        ("all.json", "{}", "all.json: give a folder, a .csv file, or JSON Lines, whose name ends"),
        ("other.fpc", "", "other.fpc: not a labelled collection; a catalogue's file goes with"),
    ],
)
def test_what_cannot_be_imported(
    book: Call, tmp_path: Path, name: str, text: str | None, said: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    code, out, err = book("catalogue", "import", tmp_path / name)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_import_again_says_that_all_is_known(book: Call, kaggle: Path) -> None:
    again = output(book, "catalogue", "import", kaggle)
    assert (again["events"], again["photos"], again["known"]) == ([], 0, 7)


def test_facts_that_known_photos_get_are_counted(book: Call, kaggle: Path) -> None:
    sheet = kaggle / "facts.csv"
    sheet.write_text("path,date\ntrain/4.jpg,2020\ntrain/5.jpg,2020\n")
    said = "; 2 files known already; facts set on 2 photos\n"
    assert output(book, "catalogue", "import", sheet, "--dry-run")["described"] == 2
    assert book("catalogue", "import", sheet, "--dry-run")[1].endswith(said)
    assert book("catalogue", "import", sheet)[1].endswith(said)
    assert book("catalogue", "import", sheet)[1].endswith("; 2 files known already\n")
    out = book("catalogue", "add", kaggle / "train" / "4.jpg", "--place", "bay")[1]
    assert out.endswith("; 1 file known already; facts set on 1 photo\n")


def test_known_photos_that_a_label_names_are_counted(
    book: Call, kaggle: Path, write_picture: Callable[..., Path]
) -> None:
    for number in (7, 8):
        book("catalogue", "add", write_picture(kaggle / "new" / f"{number}.jpg", picture(number)))
    sheet = kaggle / "names.csv"
    sheet.write_text("path,identity,date\nnew/7.jpg,w_a,2020\nnew/8.jpg,w_a,\n")
    said = "; 2 files known already; 2 known photos named; facts set on 1 photo\n"
    preview = output(book, "catalogue", "import", sheet, "--dry-run")
    assert (preview["named"], preview["described"], preview["known"]) == (2, 1, 2)
    assert book("catalogue", "import", sheet, "--dry-run")[1].endswith(said)
    assert book("catalogue", "import", sheet)[1].endswith(said)
    assert book("catalogue", "import", sheet)[1].endswith("; 2 files known already\n")


def test_photos_that_are_skipped(book: Call, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"no picture")
    code, out, err = book("catalogue", "add", bad)
    assert code == 1
    assert "new: 0 photos" in out
    assert "1 photo skipped" in out
    assert f"warning: {bad}: not a picture in a known format" in err


def _lines(run: Call, *arguments: object) -> list[Any]:
    code, out, _ = run(*arguments, "--json")
    assert code == 0
    return [json.loads(line) for line in out.splitlines()]


def test_photos_are_listed_by_state_whale_and_encounter(book: Call) -> None:
    everything = _lines(book, "catalogue", "photos")
    assert [one["photo"] for one in everything] == [1, 2, 3, 4, 5, 6]
    assert everything[0]["paths"] == ["train/1.jpg", "train/2.jpg"]
    assert [one["state"] for one in everything].count("undecided") == 2
    waiting = [one["photo"] for one in everything if one["whale"] is None]
    undecided = _lines(book, "catalogue", "photos", "--state", "undecided")
    assert [one["photo"] for one in undecided] == waiting
    book("catalogue", "decide", waiting[0], "--unsure")
    book("catalogue", "decide", waiting[1], "--no-whale")
    book("catalogue", "decide", waiting[1], "--place", "bay")
    book("catalogue", "decide", "1", "--encounter", "e1")

    def listed(*options: str) -> list[int]:
        return [one["photo"] for one in _lines(book, "catalogue", "photos", *options)]

    assert listed("--state", "unsure") == listed("--state", "unidentified") == waiting[:1]
    assert listed("--state", "no-whale") == waiting[1:]
    assert listed("--state", "unsure", "--state", "no-whale") == waiting
    assert listed("--state", "undecided") == []
    assert listed("--encounter", "e1") == [1]
    named = everything[0]["whale"]
    assert listed("--whale", named) == [one["photo"] for one in everything if one["whale"] == named]
    code, out, _ = book("catalogue", "photos", "--state", "no-whale")
    path = everything[waiting[1] - 1]["paths"][0]
    assert (code, out) == (0, f"{waiting[1]:>6}  {path}  no-whale  bay\n1 photo\n")
    out = book("catalogue", "photos", "--encounter", "e1")[1]
    assert out == f"     1  train/1.jpg  {named} (imported)\n1 photo\n"
    book("catalogue", "decide", "1", "--same", named)
    out = book("catalogue", "photos", "--encounter", "e1")[1]
    assert out == f"     1  train/1.jpg  {named}\n1 photo\n"
    code, out, err = book("catalogue", "photos", "--encounter", "e9")
    assert (code, out) == (2, "")
    assert "no photo is of an encounter 'e9'; check the spelling" in err
    code, _, err = book("catalogue", "photos", "--whale", "nobody")
    assert (code, err.count("\n")) == (2, 1)


def test_whales_are_listed(book: Call) -> None:
    """Those merged away are aliases; dates are those of the photos."""
    photos = _lines(book, "catalogue", "photos")
    before = {one["name"]: one for one in _lines(book, "catalogue", "whales")}
    assert list(before) == sorted({one["whale"] for one in photos if one["whale"]})
    for name, one in before.items():
        assert one["photos"] == sum(photo["whale"] == name for photo in photos)
        assert (one["first"], one["last"], one["aliases"]) == ("", "", [])
    kept, gone, other = before
    book("catalogue", "merge", kept, gone)
    first, *_, last = [one["photo"] for one in photos if one["whale"] in (kept, gone)]
    book("catalogue", "decide", first, "--date", "2020-05-01")
    book("catalogue", "decide", last, "--date", "2018")
    after = _lines(book, "catalogue", "whales")
    assert [one["name"] for one in after] == [kept, other]
    count = before[kept]["photos"] + before[gone]["photos"]
    assert after[0] | {"individual": 1} == {
        **{"individual": 1, "name": kept, "aliases": [gone], "photos": count},
        **{"first": "2018", "last": "2020-05-01"},
    }
    out = book("catalogue", "whales")[1].splitlines()
    assert out[0] == f"{kept}  {count} photos  2018 to 2020-05-01  also {gone}"
    assert out[-1] == "2 individuals"


def test_what_waits_for_a_person(book: Call, kaggle: Path) -> None:
    sheet = kaggle / "sheet.csv"
    sheet.write_text(
        "path,identity,date\ntrain/4.jpg,w_c,2019\ntrain/4.jpg,,2020\ntrain/5.jpg,w_b,\n"
    )
    book("catalogue", "import", sheet)
    code, out, _ = book("catalogue", "conflicts")
    assert (code, out.splitlines()) == (
        0,
        [
            "photo 3 (train/4.jpg): labelled w_b or w_c; date 2019 or 2020",
            "photo 4 (train/5.jpg): labelled w_b or new_whale",
            "2 to settle; say decide PHOTO --same WHALE, --no-whale, --date ...",
        ],
    )
    first, _ = book("catalogue", "conflicts", "--json")[1].splitlines()
    assert json.loads(first) == {
        "photo": 3,
        "path": "train/4.jpg",
        "labels": ["w_b", "w_c"],
        "facts": {"date": ["2019", "2020"]},
    }
    book("catalogue", "decide", "3", "--different", "w_b")
    assert "photo 3 (train/4.jpg): labelled w_c; date" in book("catalogue", "conflicts")[1]
    book("catalogue", "decide", "3", "--same", "w_c")
    book("catalogue", "decide", "3", "--date", "2020")
    assert "\n1 to settle; say " in book("catalogue", "conflicts")[1]


def test_what_a_sheets_columns_were_taken_for(book: Call, kaggle: Path) -> None:
    sheet = kaggle / "sheet.csv"
    sheet.write_text("Filename,Animal ID,Remarks\ntrain/4.jpg,w_b,none\n")
    code, _, err = book("catalogue", "import", sheet, "--dry-run")
    output = "path from Filename, identity from Animal ID; left aside: Remarks"
    assert (code, err) == (0, f"note: {sheet}: {output}\nnote: {sheet}: 1 whale: w_b\n")


def test_whom_the_photos_are_said_to_show(
    book: Call, kaggle: Path, tmp_path: Path, write_picture: Callable[..., Path]
) -> None:
    _, _, err = book("catalogue", "import", kaggle, "--dry-run")
    assert err == f"note: {kaggle}: 3 whales: w_a, w_b, w_c\n"
    folders = tmp_path / "seasons"
    write_picture(folders / "2024" / "Vega" / "1.jpg", picture(50))
    write_picture(folders / "2.jpg", picture(51))
    for year in range(2018, 2024):
        write_picture(folders / str(year) / "1.jpg", picture(year))
    _, _, err = book("catalogue", "import", folders, "--dry-run")
    assert err.splitlines() == [
        f"note: {folders}: 1 whale's folder holds further folders: photos in '2024/Vega' count as "
        "of whale '2024'; if 'Vega' is the whale, give each folder such as '2024' by itself",
        f"note: {folders}: left out 1 photo in no whale's folder, such as '2.jpg'",
        f"note: {folders}: 7 whales: 2018, 2019, 2020, 2021, 2022 and 2 more",
    ]


def test_labels_that_name_nobody(book: Call, kaggle: Path) -> None:
    sheet = kaggle / "sheet.csv"
    sheet.write_text("path;identity\ntrain/4.jpg;w_b\ntrain/5.jpg;Unknown\n")
    code, _, err = book("catalogue", "import", sheet, "--dry-run")
    assert (code, "1 row labelled 'Unknown'" in err, "--unnamed Unknown" in err) == (0, True, True)
    code, _, err = book("catalogue", "import", sheet, "--unnamed", "unknown", "--unnamed", "x")
    assert (code, "labelled" in err) == (0, False)
    with pytest.raises(AssertionError):
        output(book, "catalogue", "history", "Unknown")


@pytest.mark.parametrize("why", [KeyError("no such user"), ModuleNotFoundError("pwd")])
def test_a_check_asks_for_nobodys_name(
    book: Call, why: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody() -> str:
        raise why

    monkeypatch.setattr("getpass.getuser", nobody)
    monkeypatch.delenv("FLUKEPRINT_WHO")
    assert book("catalogue", "check")[0] == 0
    assert "say who decides" in book("catalogue", "rename", "w_a", "w_z")[2]


def test_a_name_that_a_code_page_lacks_is_no_crash(
    book: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    book("catalogue", "rename", "w_a", "Ōkami 鯨")
    stream = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
    monkeypatch.setattr(sys, "stdout", stream)
    assert book("catalogue", "history", "Ōkami 鯨")[0] == 0
    stream.flush()
    assert b"\\u014ckami \\u9be8" in stream.buffer.getvalue()


@pytest.mark.parametrize("form", cli_export.BEGINS)
def test_no_file_of_another_kind_is_written_over(book: Call, tmp_path: Path, form: str) -> None:
    mine, again = tmp_path / "mine", tmp_path / "again"
    mine.write_text("path;whale\n")
    code, _, err = book("catalogue", "export", form, mine)
    assert (code, "another kind of file is there" in err) == (2, True)
    assert mine.read_text() == "path;whale\n"
    again.touch()  # an empty file is nobody's
    for _ in range(2):
        assert book("catalogue", "export", form, again)[0] == 0


def test_a_table_beside_a_capture_history_is_not_written_over(
    book: Call, kaggle: Path, tmp_path: Path
) -> None:
    (tmp_path / "h-matches.csv").write_text("mine\n1\n")
    code, _, err = book("catalogue", "export", "capture-history", tmp_path / "h.csv")
    assert (code, "h-matches.csv: is there already, and another table" in err) == (2, True)
    assert not (tmp_path / "h.csv").exists()
    (tmp_path / "h-matches.csv").unlink()
    for _ in range(2):
        assert book("catalogue", "export", "capture-history", tmp_path / "h.csv")[0] == 0


def test_names_that_differ_by_capitals_alone(book: Call, kaggle: Path) -> None:
    (kaggle / "sheet.csv").write_text("path,identity\ntrain/4.jpg,W_B\n")
    _, _, err = book("catalogue", "import", kaggle / "sheet.csv")
    assert "note: 'W_B' and 'w_b' are whales of their own; merge them" in err
    (kaggle / "sheet.csv").write_text("path,identity\ntrain/1.jpg,w_a\n")
    assert "of their own" not in book("catalogue", "import", kaggle / "sheet.csv")[2]


def test_a_long_list_of_changes_is_cut(book: Call, kaggle: Path) -> None:
    listed = "".join(f"train/4.jpg,w_{number}\n" for number in range(60))
    (kaggle / "sheet.csv").write_text(f"path,identity\n{listed}")
    code, out, _ = book("catalogue", "import", kaggle / "sheet.csv")
    event = output(book, "catalogue", "show")["events"]
    whole = output(book, "catalogue", "undo", event, "--dry-run")["changes"]
    code, out, _ = book("catalogue", "undo", event)
    lines = out.splitlines()
    assert (code, len(lines)) == (0, 42)
    assert lines[-1] == f"  and {len(whole) - 40:,} more (--json names them all)"


def test_a_photo_from_arrival_to_recognition(
    book: Call, tmp_path: Path, model_path: Path, write_picture: Callable[..., Path]
) -> None:
    photo = write_picture(tmp_path / "new" / "42.jpg", picture(42), quality=95)
    code, out, _ = book(
        "catalogue", "add", photo, "--date", "2019-05-12", "--place", "bay", "--encounter", "e1"
    )
    assert (code, out.startswith("new: 1 photo, 1 file,")) == (0, True)
    asked = ("identify", photo, "--catalogue", tmp_path / "book", "--model", model_path)
    seen = json.loads(book(*asked, "--json")[1])
    assert (seen["number"], seen["ranking"], seen["revision"]) == (7, 1, 2)
    assert seen["new"] > 0.5
    code, out, _ = book("catalogue", "decide", photo, "--new", "Zora", "--dry-run")
    assert out.splitlines()[0] == "would be: new"
    code, out, _ = book("catalogue", "decide", photo, "--new", "Zora", "--why", "a notch")
    assert out.splitlines()[:2] == ["event 3: new", "  Zora (individual 4): comes into being"]
    history = output(book, "catalogue", "history", "Zora")
    assert history["now"]["photos"] == [7]
    assert [(entry["event"], entry["why"]) for entry in history["history"]] == [(3, "a notch")]
    assert history["history"][0]["evidence"]["new"] == seen["new"]
    assert "  shown was ranking 1: w_" in book("catalogue", "history", "Zora")[1]
    again = write_picture(tmp_path / "new" / "again.jpg", picture(42), quality=90)
    found = json.loads(book("identify", again, *asked[2:], "--json")[1])
    assert found["candidates"][0]["individual"] == "Zora"
    assert (found["number"], found["ranking"]) == (None, None)


def test_which_ranking_a_decision_cites(book: Call, tmp_path: Path, model_path: Path) -> None:
    for _ in range(2):
        assert book("identify", "--catalogue", tmp_path / "book", "--model", model_path)[0] == 0
    cited = {(): 3, ("--ranking", 1): 1, ("--ranking", "none"): None}
    for number, how in enumerate(cited):
        assert book("catalogue", "decide", "4", "--place", f"bay {number}", *how)[0] == 0
    events = output(book, "catalogue", "history", "4")["history"][1:]
    assert [(one["evidence"] or {}).get("id") for one in events] == [*cited.values()]
    assert book("catalogue", "decide", "4", "5", "--unsure", "--ranking", "none")[0] == 0
    events = output(book, "catalogue", "history", "5")["history"]
    assert (events[-1]["kind"], events[-1]["evidence"]) == ("unsure", None)
    for text in ("None", "-1", "1.0"):
        code, _, err = book("catalogue", "decide", "4", "--no-whale", "--ranking", text)
        said = f"flukeprint: --ranking {text}: give a ranking's number, or none\n"
        assert (code, err) == (2, said)


def test_without_photos_all_that_are_unidentified_are_asked_about(
    book: Call, tmp_path: Path, model_path: Path
) -> None:
    code, out, _ = book(
        "identify", "--catalogue", tmp_path / "book", "--model", model_path, "--json"
    )
    assert code == 0
    assert [Path(json.loads(line)["photo"]).name for line in out.splitlines()] == [
        "5.jpg",
        "6.jpg",
    ]


@pytest.mark.parametrize("how", [(), ("--json",), ("--csv", "out.csv"), ("--kaggle", "sub.csv")])
def test_a_ranking_is_kept_as_it_was_shown(
    book: Call, tmp_path: Path, model_path: Path, how: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    asked = ("identify", "--catalogue", tmp_path / "book", "--model", model_path, *how)
    for number, top in enumerate((1, 2), 1):
        assert book(*asked, "--top", top)[0] == 0
        book("catalogue", "decide", "4", "--place", f"bay {number}")
    events = output(book, "catalogue", "history", "4")["history"]
    cited = [one["evidence"] for one in events if one["kind"] == "describe"]
    assert [len(one["candidates"]) for one in cited] == [1, 2]
    if "--kaggle" in how:  # which has to name more than a person wants to see
        rows = [row.split(",") for row in Path("sub.csv").read_text().splitlines()]
        assert [len(row[1].split()) for row in rows[1:]] == [4, 4]


def test_a_ranking_in_a_narrow_window(
    book: Call, tmp_path: Path, model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    narrow = Console(file=io.StringIO(), force_terminal=True, width=30)
    monkeypatch.setattr("flukeprint.console._stdout", lambda: narrow)
    for more in ((), ("--sheet", tmp_path / "sheet.html")):
        asked = ("identify", "--catalogue", tmp_path / "book", "--model", model_path, *more)
        assert book(*asked)[0] == 0
        book("catalogue", "decide", "4", "--place", f"bay {len(more)}")
    events = output(book, "catalogue", "history", "4")["history"]
    cited = [one["evidence"] for one in events if one["kind"] == "describe"]
    assert [len(one["candidates"]) for one in cited] == [1, 3]


def test_an_encounter_on_the_command_line(
    book: Call, tmp_path: Path, model_path: Path, write_picture: Callable[..., Path]
) -> None:
    photos = [write_picture(tmp_path / "e" / f"{seed}.png", picture(seed)) for seed in (4, 7)]
    more = ("--catalogue", tmp_path / "book", "--model", model_path, "--json")
    code, out, err = book("identify", tmp_path / "e", "--encounter", "e1", *more)
    first, second = (json.loads(line) for line in out.splitlines())
    assert (code, first["new"], first["encounter"]) == (0, second["new"], "e1")
    assert "2 of 2 photos are not in the catalogue" in err
    unnamed = book("identify", "--encounter", tmp_path / "e", *more)[1].splitlines()
    assert json.loads(unnamed[1])["new"] == first["new"]
    listing = tmp_path / "met.csv"
    listing.write_text("path,encounter\n" + "".join(f"e/{p.name},e1\n" for p in photos))
    assert (
        json.loads(book("identify", "--encounters", listing, *more)[1].splitlines()[0])["new"]
        == first["new"]
    )


def test_merge_split_rename_undo(book: Call, kaggle: Path) -> None:
    assert book("catalogue", "merge", "w_a", "w_b")[1].splitlines() == [
        "event 2: merge",
        "  photo 3 (train/4.jpg): w_b (individual 2) -> w_a (individual 1)",
        "  photo 3 (train/4.jpg): no longer noted: imported as w_b (individual 2)",
        "  photo 3 (train/4.jpg): imported as w_a (individual 1)",
        "  w_a (individual 1): also known as w_b",
        "  w_b (individual 2): is no more",
        "  w_b (individual 2): merged into w_a (individual 1)",
    ]
    assert output(book, "catalogue", "show")["individuals"] == 2
    assert book("catalogue", "rename", "w_b", "Notch")[0] == 0  # an alias of w_a by now
    assert (
        book(
            "catalogue", "split", "Notch", "--photos", kaggle / "train" / "4.jpg", "--name", "Zora"
        )[0]
        == 0
    )
    assert output(book, "catalogue", "history", "Zora")["now"]["photos"] == [3]
    code, _, err = book("catalogue", "undo", 2)
    assert (code, "later ones stand on it: event 4 (split, Ann" in err) == (2, True)
    assert book("catalogue", "undo", 4)[0] == 0
    assert book("catalogue", "undo", 2)[0] == 0  # the name given meanwhile stays
    assert output(book, "catalogue", "history", "Notch")["now"]["photos"] == [1, 2]
    assert output(book, "catalogue", "history", "w_b")["now"]["photos"] == [3]
    assert book("catalogue", "undo", 99)[0] == 2


def test_a_merged_whales_history_says_who_it_was_about(book: Call) -> None:
    book("catalogue", "decide", "4", "--same", "w_b", "--why", "notch")
    book("catalogue", "merge", "w_a", "w_b")
    past = output(book, "catalogue", "history", "w_b")["history"]
    assert [(one["event"], one["about"]) for one in past] == [
        (event, ["w_b (individual 2)"]) for event in (1, 2, 3)
    ]
    lines = book("catalogue", "history", "w_b")[1].splitlines()
    (head,) = [line for line in lines if line.startswith("event 2 (same, Ann, ")]
    assert head.endswith("), about w_b (individual 2): notch")
    came = "  photo 4 (train/5.jpg): unidentified -> w_b (individual 2)"
    assert lines[lines.index(head) + 1] == came


def test_the_history_of_a_whale_that_was_undone(book: Call) -> None:
    book("catalogue", "decide", "4", "--new", "Zora")
    book("catalogue", "undo", "2")
    found = output(book, "catalogue", "history", "Zora")
    assert [(one["event"], one["undone_by"]) for one in found["history"]] == [(2, 3), (3, None)]
    assert found["history"][1]["changes"][0] == "Zora (individual 4): is no more"
    code, _, err = book("catalogue", "history", "Zara")
    assert (code, "no individual is named 'Zara'; check the spelling" in err) == (2, True)
    book("catalogue", "decide", "4", "--new", "Zora")
    assert output(book, "catalogue", "history", "Zora")["now"]["number"] == 5


def test_who_brought_a_photo_in_is_its_history(book: Call, kaggle: Path) -> None:
    photo = kaggle / "train" / "5.jpg"
    (first,) = output(book, "catalogue", "history", photo)["history"]
    assert (first["event"], first["who"], first["about"]) == (1, "Ann", [])
    assert first["changes"][:2] == [
        "photo 4 (train/5.jpg): comes into the catalogue",
        "photo 4 (train/5.jpg): found at train/5.jpg",
    ]
    shutil.copy(photo, kaggle / "copy.jpg")
    book("catalogue", "add", kaggle / "copy.jpg", "--why", "from the stick")
    lines = book("catalogue", "history", photo)[1].splitlines()
    assert lines[-2].endswith("): from the stick")
    assert lines[-1] == "  photo 4 (train/5.jpg): found at copy.jpg"


def test_names_are_made_up_where_none_is_given(book: Call, kaggle: Path) -> None:
    train = kaggle / "train"
    assert (
        "  whale-4 (individual 4): comes into being\n"
        in book("catalogue", "decide", train / "5.jpg", "--new", "--why", "notch")[1]
    )
    book("catalogue", "decide", train / "6.jpg", "--same", "w_a")
    out = book("catalogue", "split", "w_a", "--photos", train / "3.jpg", train / "6.jpg")[1]
    assert "  whale-5 (individual 5): comes into being\n" in out
    assert output(book, "catalogue", "history", "whale-5")["now"]["photos"] == [2, 5]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("decide", "3"), "say one thing about the photo"),
        (("decide", "3", "--unsure", "--new", "Z"), "say one thing about the photo"),
        (("decide", "99", "--unsure"), "no photo has the number 99"),
        (("decide", "gone.jpg", "--unsure"), "gone.jpg: no such photo in"),
        (("decide", "3", "--same", "w_d"), "no individual is named 'w_d'"),
        (("decide", "3", "--same", "w_d"), "there is w_"),
        (("decide", "3", "--box", "1,2"), "--box 1,2: write left,top,right,bottom"),
        (("decide", "3", "--date", "May"), "'May' is not a date"),
        (("rename", "w_a", "w_b"), "names are given once"),
        (("import", "."), "no labelled photos here"),
        (("init", "."), "is there already"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    book: Call,
    arguments: tuple[str, ...],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "nothing").mkdir()
    monkeypatch.chdir(tmp_path / "nothing")
    before = (tmp_path / "book").read_bytes()
    code, out, err = book("catalogue", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert (tmp_path / "book").read_bytes() == before


def test_a_catalogue_begins_with_a_folder_that_is_there(run: Call, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for name in ("nowhere", "file"):
        code, out, err = run("catalogue", "init", tmp_path / "new", "--root", tmp_path / name)
        said = f"flukeprint: {tmp_path / name}: no such folder; name the one where the photos lie\n"
        assert (code, out, err) == (2, "", said)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_a_stale_decision_is_refused(book: Call) -> None:
    seen = output(book, "catalogue", "show")["events"]
    assert book("catalogue", "decide", "4", "--same", "w_a", "--seen", seen)[0] == 0
    code, _, err = book("catalogue", "decide", "4", "--different", "w_a", "--seen", seen)
    assert code == 2
    assert "changed since you looked, by event 2 (same, Ann" in err


def test_a_decision_on_a_ranking_that_others_have_overtaken_is_refused(
    book: Call, tmp_path: Path, model_path: Path
) -> None:
    """One knows of one's own decisions; of others' the line tells."""
    asked = ("identify", "--catalogue", tmp_path / "book", "--model", model_path)
    assert book(*asked)[0] == 0
    assert book("catalogue", "decide", "4", "--place", "a bay")[0] == 0
    assert book("catalogue", "decide", "4", "--same", "w_a")[0] == 0
    late = ("catalogue", "decide", "4", "--move", "w_b", "--who", "Bob")
    code, out, err = book(*late)
    assert (code, out) == (2, "")
    assert "changed since ranking 1 was shown, by event 2 (describe, Ann, " in err
    assert err.endswith("; identify it again, or say --seen 3 if you know that\n")
    code, _, err = book("catalogue", "decide", "5", "4", "--unsure", "--who", "Bob")
    assert (code, output(book, "catalogue", "show")["events"]) == (2, 3)
    assert book(*late, "--ranking", "none", "--dry-run")[0] == 0
    assert book(*late, "--seen", "2")[0] == 2
    assert book(*late, "--seen", "3")[0] == 0


@pytest.mark.parametrize("hours", [-24, 24])
def test_whose_clock_is_wrong_does_not_matter(
    book: Call, tmp_path: Path, model_path: Path, monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    """Two people's computers differ by a day, on a disk that both reach."""
    asked = ("identify", "--catalogue", tmp_path / "book", "--model", model_path)
    with monkeypatch.context() as patched:  # Bob asks; then Ann decides, whose clock it is not
        wrong = (datetime.now(UTC) + timedelta(hours=hours)).isoformat()
        patched.setattr(log, "now", lambda: wrong)
        assert book("catalogue", "decide", "5", "--unsure")[0] == 0
        patched.undo()
        assert book(*asked)[0] == 0
        patched.setattr(log, "now", lambda: wrong)
        assert book("catalogue", "decide", "4", "--no-whale")[0] == 0
    code, _, err = book("catalogue", "decide", "4", "--same", "w_a", "--who", "Bob")
    assert (code, "was shown, by event 3 (no whale, Ann, " in err) == (2, True)
    assert book("catalogue", "decide", "5", "--same", "w_a", "--who", "Bob")[0] == 0


def test_several_photos_are_decided_in_one_go(
    book: Call, tmp_path: Path, model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes between waits, however late: nobody else's decision is lost, none is half done."""
    asked = ("identify", "--catalogue", tmp_path / "book", "--model", model_path)
    assert book(*asked)[0] == 0
    checked = cli_decisions._check_overtaken
    waited = []

    def late(*arguments: Any) -> None:
        checked(*arguments)
        with Catalogue.open(tmp_path / "book", busy_s=0) as other:
            with pytest.raises(FlukeprintError, match="another program is using it"):
                other.decide(NoWhale(5), who="Cara")
            waited.append(other.photo(4).state)

    monkeypatch.setattr(cli_decisions, "_check_overtaken", late)
    assert book("catalogue", "decide", "4", "5", "--same", "w_a", "--who", "Bob")[0] == 0
    assert waited == [None, None]
    decide = Catalogue.decide

    def refused(self: Catalogue, decision: Any, **how: Any) -> Any:
        if decision.photo == 5 and not how.get("dry_run"):
            raise FlukeprintError("the disk is full")
        return decide(self, decision, **how)

    monkeypatch.setattr(cli_decisions, "_check_overtaken", checked)
    monkeypatch.setattr(Catalogue, "decide", refused)
    events = output(book, "catalogue", "show")["events"]
    code, out, err = book("catalogue", "decide", "4", "5", "--unsure", "--who", "Bob")
    assert (code, out, err) == (2, "", "flukeprint: the disk is full\n")
    assert output(book, "catalogue", "show")["events"] == events
    assert check(tmp_path / "book").whole


def test_a_photo_without_a_whale_waits_for_nobody(
    book: Call, tmp_path: Path, model_path: Path
) -> None:
    code, out, _ = book("catalogue", "decide", "4", "--no-whale", "--why", "a boat")
    assert (code, out.splitlines()[0]) == (0, "event 2: no whale")
    assert output(book, "catalogue", "show")["without_whale"] == 1
    asked = ("identify", "--catalogue", tmp_path / "book", "--model", model_path, "--json")
    assert [json.loads(line)["number"] for line in book(*asked)[1].splitlines()] == [5]
    note = "note: left out 1 photo, train/5.jpg: a person said of it that it shows no whale\n"
    for form in ("photos", "darwin-core", "competition", "capture-history", "wildbook"):
        code, _, err = book("catalogue", "export", form, tmp_path / form)
        assert (code, note in err) == (0, True)


def test_several_photos_are_decided_at_once(book: Call) -> None:
    code, out, err = book("catalogue", "decide", "4", "5", "--new", "Zora", "--dry-run")
    assert (code, out.splitlines()[0]) == (0, "would be: new")
    assert err == "note: the other photos would be put with that whale\n"
    code, out, _ = book("catalogue", "decide", "4", "5", "4", "--new", "Zora", "--seen", "1")
    heads = [line for line in out.splitlines() if line.startswith("event")]
    assert (code, heads) == (0, ["event 2: new", "event 3: same"])
    assert output(book, "catalogue", "history", "Zora")["now"]["photos"] == [4, 5]
    code, out, _ = book("catalogue", "decide", "1", "2", "--date", "2020", "--json")
    assert [json.loads(line)["event"] for line in out.splitlines()] == [4, 5]
    code, _, err = book("catalogue", "decide", "3", "4", "--same", "w_b")  # 4 is confirmed as Zora
    assert (code, "photo 4 (train/5.jpg) is confirmed as Zora" in err) == (2, True)
    assert output(book, "catalogue", "show")["events"] == 5  # and 3 was not noted either
    code, _, err = book("catalogue", "decide", "--new", "3", "1", "2")
    assert (code, "--new 3: that is a photo" in err) == (2, True)
    code, _, err = book("catalogue", "decide", "1", "2", "--box", "0,0,1,1")
    assert (code, "about one photo" in err) == (2, True)


def test_a_whale_with_a_number_for_a_name(book: Call) -> None:
    assert book("catalogue", "decide", "4", "--new", "99")[0] == 0
    code, out, err = book("catalogue", "history", "99")  # there is no photo 99
    assert (code, "99 (individual 4): comes into being" in out, err) == (0, True, "")


def test_a_label_that_a_person_denied_before_it_came(book: Call, kaggle: Path) -> None:
    book("catalogue", "decide", "4", "--different", "w_b")
    sheet = kaggle / "sheet.csv"
    sheet.write_text("path,identity\ntrain/5.jpg,w_b\n")
    book("catalogue", "import", sheet)
    assert "photo 4 (train/5.jpg): labelled w_b" in book("catalogue", "conflicts")[1]


def test_another_picture_in_a_photos_place_is_not_that_photo(
    book: Call, kaggle: Path, tmp_path: Path, model_path: Path, write_picture: Callable[..., Path]
) -> None:
    write_picture(kaggle / "train" / "5.jpg", picture(77))
    asked = ("identify", "--catalogue", tmp_path / "book", "--model", model_path, "--json")
    code, out, err = book(*asked)
    assert [json.loads(line)["number"] for line in out.splitlines()] == [None, 5]
    assert (code, "1 of 2 photos are not in the catalogue" in err) == (0, True)


def test_a_photo_goes_by_the_path_that_it_had(book: Call, kaggle: Path) -> None:
    (kaggle / "train" / "5.jpg").rename(kaggle / "elsewhere.jpg")
    assert book("catalogue", "add", kaggle / "elsewhere.jpg")[0] == 0
    found = output(book, "catalogue", "history", "train/5.jpg")
    assert found["now"]["number"] == 4
    assert book("catalogue", "decide", kaggle / "train" / "5.jpg", "--new", "4")[0] == 0
    code, out, err = book("catalogue", "history", "4")  # that whale, not photo 4
    assert (code, err) == (
        0,
        "note: 4 is a whale here; the photo of that number is elsewhere.jpg\n",
    )
    assert "4 (individual 4): comes into being" in out


def test_what_a_decision_leaves_to_look_at_is_said(book: Call) -> None:
    assert book("catalogue", "decide", "5", "--new", "W_A")[2].splitlines()[0] == (
        "note: 'W_A' and 'w_a' (individual 1) are whales of their own; merge them if they are one"
    )
    book("catalogue", "undo", "2")
    found = output(book, "catalogue", "decide", "5", "--new", "W_A", "--dry-run")
    assert len(found["notes"]) == 1


def test_check_backup_and_rescue(book: Call, tmp_path: Path) -> None:
    assert book("catalogue", "check")[0] == 0
    assert output(book, "catalogue", "rebuild") == {"differed": []}
    assert book("catalogue", "backup", tmp_path / "copy")[1] == f"{tmp_path / 'copy'}: whole\n"
    file = tmp_path / "book"
    data = bytearray(file.read_bytes())
    place = data.index(b"Ann")
    data[place : place + 3] = b"Bob"
    file.write_bytes(data)
    code, out, _ = book("catalogue", "check", "--rescue", tmp_path / "saved")
    assert code == 2
    assert "event 1 is not as it was written" in out
    assert file.read_bytes() == data
    assert book("catalogue", "check", "--catalogue", tmp_path / "saved")[:2] == (
        0,
        f"{tmp_path / 'saved'}: whole; can be read: 2 event, 20 effect, 6 photo, 7 file, "
        "3 individual\na rescue could not save these events as they were: 1\n",
    )


def test_a_change_that_was_cut_off(book: Call, tmp_path: Path) -> None:
    cut_off(tmp_path / "book")
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    code, out, err = book("catalogue", "check")
    said = "tmp_path/book: whole; can be read: 1 event, 20 effect, 6 photo, 7 file, 3 individual\n"
    assert (code, out) == (0, said.replace("tmp_path", str(tmp_path)))
    assert err == f"note: {CUT_OFF}\n"
    report = output(book, "catalogue", "check")
    assert (report["whole"], report["problems"], report["notes"]) == (True, [], [CUT_OFF])
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


@pytest.mark.parametrize("form", cli_export.FORMATS)
def test_an_export_after_a_change_was_cut_off(book: Call, tmp_path: Path, form: str) -> None:
    assert book("catalogue", "export", form, tmp_path / "before")[0] == 0
    cut_off(tmp_path / "book")
    code, _, err = book("catalogue", "export", form, tmp_path / "after")
    assert (code, "flukeprint: " in err) == (0, False)
    assert not (tmp_path / "book-journal").exists()
    if form == "lines":
        assert (tmp_path / "after").read_bytes() == (tmp_path / "before").read_bytes()


def test_a_change_that_was_cut_off_where_nothing_can_be_written(
    book: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off(tmp_path / "book")
    monkeypatch.setattr("flukeprint.cli_opening.writable", lambda file: False)
    said = f"flukeprint: {tmp_path / 'book'}: a decision was cut off; open it once where it can be "
    for words in (("show",), ("export", "photos", tmp_path / "out")):
        assert book("catalogue", *words) == (2, "", f"{said}written, to take that back\n")
    assert (tmp_path / "book-journal").exists()


def test_a_rescue_that_lost_what_was_shown(book: Call, tmp_path: Path, model_path: Path) -> None:
    asked = ("identify", "--catalogue", tmp_path / "book", "--model", model_path)
    assert book(*asked)[0] == 0
    assert book("catalogue", "decide", "5", "--new", "Zora")[0] == 0
    with closing(sqlite3.connect(tmp_path / "book")) as link, link:
        link.execute("DROP TRIGGER ranking_never_delete")
        link.execute("DELETE FROM ranking")
    assert book("catalogue", "check", "--rescue", tmp_path / "saved")[0] == 2
    saved = ("--catalogue", tmp_path / "saved")
    text = book("catalogue", "history", "Zora", *saved)[1]
    assert "  shown was ranking 2, which is lost\n" in text
    history = output(book, "catalogue", "history", "Zora", *saved)
    assert [entry["evidence"] for entry in history["history"]] == [None]
    for number, format_ in enumerate(("photos", "lines", "capture-history", "darwin-core")):
        assert book("catalogue", "export", format_, tmp_path / f"out{number}", *saved)[0] == 0


def test_a_read_only_catalogue_is_read(
    book: Call, tmp_path: Path, model_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flukeprint.cli_opening.writable", lambda file: False)
    before = (tmp_path / "book").read_bytes()
    code, out, err = book(
        "identify", "--catalogue", tmp_path / "book", "--model", model_path, "--json"
    )
    assert (code, json.loads(out.splitlines()[0])["ranking"]) == (0, None)
    assert "read-only; what is shown is not noted there" in err
    assert book("catalogue", "show")[0] == 0
    assert (tmp_path / "book").read_bytes() == before


def test_everything_goes_out_and_comes_back(book: Call, tmp_path: Path) -> None:
    lines, again = tmp_path / "all.jsonl", tmp_path / "again"
    assert book("catalogue", "export", "lines", lines)[0] == 0
    assert book("catalogue", "import", lines, "--catalogue", again)[0] == 0
    shown = [
        output(book, "catalogue", "show", "--catalogue", f) for f in (tmp_path / "book", again)
    ]
    assert shown[0] == shown[1]
    assert book("catalogue", "check", "--catalogue", again)[0] == 0
    code, _, err = book("catalogue", "import", lines)
    assert (code, "name a new file" in err) == (2, True)


def test_exports_go_out_and_tell_what_they_left_out(
    book: Call, kaggle: Path, tmp_path: Path
) -> None:
    out = tmp_path / "photos.csv"
    code, said, err = book("catalogue", "export", "photos", out)
    assert (code, said) == (0, f"6 photos, 2 of them unknown: {out}\n")
    assert out.read_text().splitlines()[1] == '1,"train/1.jpg","w_a",""'
    code, _, err = book("catalogue", "export", "capture-history", ".")
    assert (code, err) == (2, "flukeprint: .: a folder; name a file in it\n")
    code, _, err = book("catalogue", "export", "capture-history", tmp_path / "met.csv")
    assert (code, "left out 6 photos, such as train/1.jpg: no date" in err) == (0, True)
    shutil.copy(tmp_path / "book", tmp_path / "other")
    photo = kaggle / "train" / "4.jpg"
    before = [path.read_bytes() for path in (tmp_path / "book", tmp_path / "other", photo)]
    for form in ("photos", "lines", "darwin-core"):
        for path in (tmp_path / "book", tmp_path / "other", photo):
            code, _, err = book("catalogue", "export", form, path)
            assert (code, "name another" in err) == (2, True)
    after = [path.read_bytes() for path in (tmp_path / "book", tmp_path / "other", photo)]
    assert after == before


def test_a_sheet_for_wildbook_comes_back(book: Call, kaggle: Path, tmp_path: Path) -> None:
    """With all its photos, whom they show, when and where; put beside the photos."""
    rest = ("--place", "bay", "--latitude", "-64.5", "--longitude", "-62")
    for number, date, met in (
        (1, "2018-07-01T10:20", "e1"),
        (2, "2018-07-01T10:25", "e1"),
        (3, "2019-08-02T06:05", "e2"),
        (4, "2020-05", "e2"),
    ):
        book("catalogue", "decide", number, "--date", date, *rest)
        book("catalogue", "decide", number, "--encounter", met)
    assert book("catalogue", "export", "wildbook", tmp_path / "out")[0] == 0
    sheet = kaggle / "train" / "wildbook-1.csv"
    shutil.copy(tmp_path / "out" / "wildbook-1.csv", sheet)
    again = ("--catalogue", tmp_path / "again")
    assert book("catalogue", "init", tmp_path / "again", "--root", kaggle)[0] == 0
    code, _, err = book("catalogue", "import", sheet, *again)
    assert (code, "left aside: Encounter.genus, Encounter.specificEpithet\n" in err) == (0, True)
    keys = ("whale", "date", "position", "place", "encounter")
    before, after = (
        {one["paths"][0]: [one[key] for key in keys] for one in _lines(book, "catalogue", *words)}
        for words in (("photos",), ("photos", *again))
    )
    assert before.pop("train/6.jpg") and before.pop("train/7.jpg")  # which have no date
    for path in ("train/1.jpg", "train/3.jpg"):
        before[path][1] = "2018-07-01"  # met once, photographed more than once
    assert after == before
    code, out, _ = book("catalogue", "import", sheet)
    assert (code, "new: 0 photos, 0 files" in out, "conflict" in out) == (0, True, False)


def test_formats_are_those_that_there_are() -> None:
    assert (*exports.FORMATS, "lines") == cli_export.FORMATS
    assert cli_import.ORDERS == ORDERS


def test_dates_are_read_in_the_order_that_was_said(book: Call, kaggle: Path) -> None:
    sheet = kaggle / "dates.csv"
    sheet.write_text("path,date\ntrain/4.jpg,05/12/2025\n")
    code, _, err = book("catalogue", "import", sheet)
    assert (code, "import --dates dmy or mdy reads such" in err) == (2, True)
    assert book("catalogue", "import", sheet, "--dates", "dmy")[0] == 0
    assert "2025-12-05" in book("catalogue", "history", kaggle / "train" / "4.jpg")[1]
    code, _, err = book("catalogue", "import", kaggle, "--dates", "dmy")
    assert (code, "--columns and --dates are for a CSV" in err) == (2, True)


def test_a_backup_that_fails_is_a_warning(book: Call, tmp_path: Path, kaggle: Path) -> None:
    """What was decided is noted all the same."""
    shutil.rmtree(tmp_path / "book.backups")
    (tmp_path / "book.backups").touch()
    code, out, err = book("catalogue", "decide", kaggle / "train" / "4.jpg", "--unsure")
    assert (code, out.splitlines()[0]) == (0, "event 2: unsure")
    assert "warning: all is noted, but no backup was made" in err


def test_a_backup_has_the_rankings_that_were_shown_since(
    book: Call, tmp_path: Path, model_path: Path
) -> None:
    nothing_new = f"{tmp_path / 'book'}: backed up already; nothing is new\n"
    assert book("catalogue", "backup")[:2] == (0, nothing_new)
    assert book("identify", "--catalogue", tmp_path / "book", "--model", model_path)[0] == 0
    made = Path(output(book, "catalogue", "backup")["backup"])
    assert made.parent == tmp_path / "book.backups"
    with closing(sqlite3.connect(made)) as link:
        assert link.execute("SELECT photo FROM ranking").fetchall() == [(4,), (5,)]
    assert book("catalogue", "backup")[:2] == (0, nothing_new)


def test_nothing_is_noted_in_a_backup(book: Call, tmp_path: Path, kaggle: Path) -> None:
    (kept,) = (tmp_path / "book.backups").iterdir()
    before = kept.read_bytes()
    photo = kaggle / "train" / "4.jpg"
    for words in (("decide", photo, "--unsure"), ("add", photo), ("import", kaggle)):
        code, out, err = book("catalogue", *words, "--catalogue", kept)
        assert (code, out, "a backup, which stays as it is" in err) == (2, "", True)
    assert book("catalogue", "show", "--catalogue", kept)[0] == 0
    assert (kept.read_bytes(), len(list(kept.parent.iterdir()))) == (before, 1)


def test_degrees_that_disagree_are_settled(book: Call, kaggle: Path) -> None:
    photo = kaggle / "train" / "4.jpg"
    for latitude in (10, 11):
        book("catalogue", "add", photo, "--latitude", latitude, "--longitude", 20)
    assert "latitude 10 or 11" in book("catalogue", "conflicts")[1]
    assert book("catalogue", "decide", photo, "--latitude", "11")[0] == 0
    assert book("catalogue", "conflicts")[1] == "0 to settle\n"


def test_a_fact_whose_first_telling_was_undone(book: Call, kaggle: Path) -> None:
    photo = kaggle / "train" / "4.jpg"
    for date in (2020, 2021):
        book("catalogue", "add", photo, "--date", date)
    assert book("catalogue", "undo", 2)[0] == 0
    assert book("catalogue", "conflicts")[0] == 0


def test_a_file_that_is_called_like_a_number(
    book: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "4").write_bytes(b"another photo")
    code, _, err = book("catalogue", "decide", "4", "--unsure")
    assert (code, "4: no such photo in" in err) == (2, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("identify", "a.jpg"),
        ("identify", "a.jpg", "--gallery", "x", "--catalogue", "y"),
        ("identify", "--gallery", "x"),
        ("identify", "a.jpg", "--gallery", "x", "--encounter", "e"),
    ],
)
def test_options_that_do_not_go_together(
    run: Call, arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FLUKEPRINT_CATALOGUE")
    code, _, err = run(*arguments)
    assert code == 2
    assert "Usage: " in err


def test_a_kaggle_folder_with_gaps_and_without_a_folder(
    run: Call, tmp_path: Path, kaggle: Path, kaggle_zipped: Path
) -> None:
    """What is not there is skipped; photos that would lie in a temporary folder are refused."""
    assert run("catalogue", "init", tmp_path / "book", "--root", tmp_path)[0] == 0
    code, out, err = run("catalogue", "import", kaggle_zipped)
    said = f"flukeprint: {kaggle_zipped}: unpack train.zip to train/ first, to stay there\n"
    assert (code, out, err) == (2, "", said)
    (kaggle / "train" / "5.jpg").unlink()
    code, out, err = run("catalogue", "import", kaggle)
    line = (kaggle / "train.csv").read_text().splitlines().index("5.jpg,new_whale") + 1
    said = f"train/5.jpg: listed in train.csv, line {line}, but not there"
    assert (code, out.splitlines()[-1], said in err) == (1, "1 photo skipped", True)
    assert output(run, "catalogue", "show")["photos"] == 5


def test_a_photo_whose_place_another_took_is_told(book: Call, kaggle: Path) -> None:
    shutil.copy(kaggle / "train" / "1.jpg", kaggle / "train" / "5.jpg")
    code, _, err = book("catalogue", "import", kaggle)
    said = "note: train/5.jpg holds another picture now; photo 4 has no file any more\n"
    assert (code, said in err) == (0, True)


@pytest.mark.parametrize("size", ["same", "another"])
def test_exports_leave_out_files_that_hold_another_picture(
    book: Call, tmp_path: Path, kaggle: Path, size: str
) -> None:
    """Their sidecars and rows would tell of a picture that is not there."""
    one, four = kaggle / "train" / "1.jpg", kaggle / "train" / "4.jpg"
    raw = one.read_bytes()
    one.write_bytes(raw[:-1] + b"\0" if size == "same" else four.read_bytes())
    os.utime(one, ns=(1, 1))
    os.utime(four, ns=(1, 1))  # touched, and the same
    note = "note: 1 file holds another picture than when imported, such as train/1.jpg: left out; "
    code, _, err = book("catalogue", "export", "photos", tmp_path / "p.csv")
    assert (code, note in err) == (0, True)
    text = (tmp_path / "p.csv").read_text()
    assert ("train/1.jpg" in text, "train/2.jpg" in text, "train/4.jpg" in text) == (
        False, True, True,
    )  # fmt: skip
    code, out, err = book("catalogue", "export", "xmp", "--in-place")
    assert (code, note in err, out.split()[0]) == (0, True, "4")
    assert not (kaggle / "train" / "1.jpg.xmp").exists()
    assert (kaggle / "train" / "4.jpg.xmp").exists()
    code, _, err = book("catalogue", "export", "xmp")
    assert (code, "Missing argument 'OUT'" in err) == (2, True)


def test_half_a_position_is_told(book: Call, kaggle: Path) -> None:
    sheet = kaggle / "half.csv"
    sheet.write_text("path,lat,lon\ntrain/4.jpg,12.5,\ntrain/5.jpg,12.5,-7\n")
    code, _, err = book("catalogue", "import", sheet)
    said = f"1 file has a latitude or a longitude alone, such as {kaggle / 'train' / '4.jpg'}: no"
    assert (code, said in err) == (0, True)


def test_photos_that_were_left_out_are_named_to_programs(book: Call, kaggle: Path) -> None:
    sheet = kaggle / "gap.csv"
    sheet.write_text("path\ntrain/4.jpg\ntrain/none.jpg\n")
    code, out, _ = book("catalogue", "import", sheet, "--json")
    told = json.loads(out)
    assert (code, told["skipped"]) == (1, 1)
    assert told["left_out"] == [
        {
            "photo": str(kaggle / "train" / "none.jpg"),
            "reason": "listed in gap.csv, line 3, but not there",
        }
    ]


def test_a_preview_is_refused_as_the_decision_would_be(
    book: Call, tmp_path: Path, model_path: Path
) -> None:
    asked = ("identify", "--catalogue", tmp_path / "book", "--model", model_path)
    assert book(*asked)[0] == 0
    for ranking, said in (("999", "no ranking has the number 999"), ("2", "was shown for photo 5")):
        for preview in ((), ("--dry-run",)):
            decide = ("catalogue", "decide", "4", "--same", "w_a", "--ranking", ranking)
            code, out, err = book(*decide, *preview)
            assert (code, out, said in err) == (2, "", True)


def test_a_kaggle_folder_without_one_of_its_photos(run: Call, tmp_path: Path) -> None:
    (tmp_path / "k" / "train").mkdir(parents=True)
    (tmp_path / "k" / "train.csv").write_text("Image,Id\nx.jpg,A\n")
    assert run("catalogue", "init", tmp_path / "book")[0] == 0
    code, out, err = run("catalogue", "import", tmp_path / "k")
    assert (code, out) == (2, "")
    assert (
        f"no photo that it lists is there; looked for '{tmp_path / 'k' / 'train' / 'x.jpg'}" in err
    )
