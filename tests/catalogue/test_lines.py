"""A catalogue as lines comes back equal, and a changed line is found where it is."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import flukeprint.catalogue.lines as lines_of
from flukeprint.catalogue import (
    Catalogue,
    Describe,
    Different,
    Merge,
    New,
    Rename,
    Same,
    Shown,
    Split,
    Undo,
    Unsure,
    check,
    rescue,
)
from flukeprint.catalogue.lines import ORDER, read_lines, write_lines
from flukeprint.errors import FlukeprintError
from flukeprint.records import Embeddings
from tests.catalogue.small import as_of_version, content, photo, query, small
from tests.exports.test_tables import NAME
from tests.tiny import UNSEEN, seen


def dump(path: Path) -> list[str]:
    """A file's tables, rows, indices and triggers as SQL."""
    with closing(sqlite3.connect(path)) as link:
        settings = [link.execute(f"PRAGMA {name}").fetchone()[0]
                    for name in ("user_version", "application_id", "page_size")]  # fmt: skip
        return [*map(str, settings), *link.iterdump()]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue with something in each table, and every kind of decision."""
    path = tmp_path_factory.mktemp("full") / "whales.fpc"
    with small(path) as book:
        book.keep_looks("m", {content(1): seen(slope=1 / 3), content(2): UNSEEN})
        vectors = np.eye(3, 8, dtype=np.float32)
        book.keep_embeddings(Embeddings(vectors, tuple(map(content, (1, 2, 3))), "m"), half=True)
        (ranking,) = book.keep_rankings("m", [Shown(4, ((1, 0.1), (2, 1e-300)), 0.7)])
        book.keep_rankings("n", [Shown(5, (), 1.0)])
        book.decide(New(4, 'Ça, "=1"\u3042'), who="Ann", why="seen, often", ranking=ranking)
        for decision in (
            Same(1, 1), Different(5, 2), Unsure(5), Describe(2, date="2020", latitude="-1.5"),
            Split(1, (2,), "D"), Merge(2, 4), Rename(1, "E"), Undo(3),
        ):  # fmt: skip
            book.decide(decision, who="Bo")
        book.add_photos([photo(6, "B", date="2019-01-01"), photo(1, "B")], who="Ann")
    return path


def test_lines_and_back(full: Path, tmp_path: Path) -> None:
    lines, new = tmp_path / "all.jsonl", tmp_path / "new.fpc"
    wrote = write_lines(full, lines)
    assert set(wrote) == set(ORDER)
    assert all(wrote.values())
    assert read_lines(lines, new) == wrote
    assert dump(new) == dump(full)
    assert check(new).whole
    with Catalogue.open(new, root=full.parent) as one, Catalogue.open(full) as other:
        assert one.photos() == other.photos()
        assert one.individuals() == other.individuals()
        assert one.photo_history(1) == other.photo_history(1)
    again = tmp_path / "again.jsonl"
    write_lines(new, again)
    assert again.read_bytes() == lines.read_bytes()


def test_what_a_line_looks_like(tmp_path: Path) -> None:
    with small(tmp_path / "a.fpc"):
        write_lines(tmp_path / "a.fpc", tmp_path / "a.jsonl")
    lines = (tmp_path / "a.jsonl").read_text(encoding="ascii").splitlines()
    assert lines[0].startswith('{"format":"flukeprint catalogue","version":3,"meta":{"root":"."},')
    coded = base64.b64encode(bytes.fromhex(content(1))).decode()
    assert lines[1].startswith(
        f'{{"table":"photo","row":{{"id":1,"sha256":{{"base64":"{coded}"}},"size_bytes":1000,'
        '"width_px":null,'
    )
    assert json.loads(lines[-1])["rows"] == len(lines) - 2
    assert all(len(json.loads(line)["sum"]) == 16 for line in lines)


def test_without_embeddings(full: Path, tmp_path: Path) -> None:
    wrote = write_lines(full, tmp_path / "a.jsonl", embeddings=False)
    assert "embedding" not in wrote
    read_lines(tmp_path / "a.jsonl", tmp_path / "a.fpc")
    assert check(tmp_path / "a.fpc").whole
    kept = [line for line in dump(full) if not line.startswith('INSERT INTO "embedding"')]
    assert dump(tmp_path / "a.fpc") == kept


@pytest.fixture(scope="module")
def written(full: Path) -> bytes:
    write_lines(full, full.with_name("all.jsonl"))
    return full.with_name("all.jsonl").read_bytes()


def refused(raw: bytes, folder: Path) -> str:
    """What reading these lines says; nothing may be left behind."""
    folder.mkdir(exist_ok=True)
    (folder / "a.jsonl").write_bytes(raw)
    with pytest.raises(FlukeprintError) as reported:
        read_lines(folder / "a.jsonl", folder / "a.fpc")
    assert [path.name for path in folder.iterdir()] == ["a.jsonl"]
    return str(reported.value).removeprefix(str(folder / "a.jsonl"))


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_a_changed_byte_is_found_in_its_line(
    written: bytes, tmp_path: Path, data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(written) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != written[place]))
    line = written[:place].count(b"\n") + 1
    changed = written[:place] + bytes([other]) + written[place + 1 :]
    assert refused(changed, tmp_path / "x").startswith(f", line {line}: not as it was written")


def _lost(lines: list[bytes]) -> list[bytes]:
    return lines[:4] + lines[5:]


def _moved(lines: list[bytes]) -> list[bytes]:
    return [*lines[:4], lines[5], lines[4], *lines[6:]]


def _twice(lines: list[bytes]) -> list[bytes]:
    return [*lines[:5], *lines[4:]]


@pytest.mark.parametrize("change", [_lost, _moved, _twice])
def test_lines_lost_moved_or_twice(
    written: bytes, tmp_path: Path, change: Callable[[list[bytes]], list[bytes]]
) -> None:
    raw = b"".join(change(written.splitlines(keepends=True)))
    number = 6 if change is _twice else 5
    assert refused(raw, tmp_path).startswith(f", line {number}: not as it was written")


def test_lines_cut_off_or_added(written: bytes, tmp_path: Path) -> None:
    lines = written.splitlines(keepends=True)
    last = len(lines)
    for count in (0, 1, 5, last - 1):
        reported = refused(b"".join(lines[:count]), tmp_path / str(count))
        assert reported.startswith(f", line {count + 1}: the lines end before this one, too early")
    assert f", line {last}: not as" in refused(written[:-1], tmp_path / "end")
    assert f", line {last}: not as" in refused(written[:-9], tmp_path / "nine")
    assert f", line {last + 1}: not as" in refused(written + lines[-1], tmp_path / "added")
    assert ", line 1: not as" in refused(b"\0" * 1_000, tmp_path / "other")


def forged(full: Path, tmp_path: Path, sql: str) -> bytes:
    """The lines of a catalogue that was changed behind the program's back."""
    copy = tmp_path / "copy.fpc"
    copy.write_bytes(full.read_bytes())
    triggers = query(copy, "SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    for name, _ in triggers:
        query(copy, f"DROP TRIGGER {name}")
    query(copy, sql)
    for _, make in triggers:
        query(copy, make)
    write_lines(copy, tmp_path / "copy.jsonl")
    return (tmp_path / "copy.jsonl").read_bytes()


def test_the_seals_still_count(full: Path, tmp_path: Path) -> None:
    raw = forged(full, tmp_path, "UPDATE event SET why = 'other' WHERE id = 2")
    reported = refused(raw, tmp_path / "x")
    line = int(reported.removeprefix(", line ").partition(":")[0])
    assert reported.endswith("event 2 is not as it was written; rescue the catalogue it came from")
    assert json.loads(raw.splitlines()[line - 1])["row"]["id"] == 2


def test_a_newer_version(full: Path, tmp_path: Path) -> None:
    body = b'{"format":"flukeprint catalogue","version":99,"meta":{}'
    first = lines_of._sum(lines_of.FIRST_SUM, body)
    raw = body + f',"sum":"{first}"}}\n'.encode()
    assert "made by a newer flukeprint (version 99" in refused(raw, tmp_path / "a")
    for body, reported in (
        (b'{"format":"x","version":1,"meta":{}', "line 1: not a catalogue's lines"),
        (b'{"format":"flukeprint catalogue","version":1,"meta":[]', "not a catalogue's lines"),
        (b"[1", "line 1: not a line of a catalogue"),
    ):
        raw = body + f',"sum":"{lines_of._sum(lines_of.FIRST_SUM, body)}"}}\n'.encode()
        assert reported in refused(raw, tmp_path / "b")


@pytest.mark.parametrize("version", [1, 2])
def test_lines_of_an_earlier_version(full: Path, tmp_path: Path, version: int) -> None:
    """They give a catalogue of this one."""
    old = tmp_path / "old.fpc"
    old.write_bytes(full.read_bytes())
    as_of_version(old, version)
    write_lines(old, tmp_path / "old.jsonl")
    assert b'"version":%d,' % version in (tmp_path / "old.jsonl").read_bytes()
    read_lines(tmp_path / "old.jsonl", tmp_path / "new.fpc")
    Catalogue.open(old).close()  # upgraded in place
    assert sorted(dump(tmp_path / "new.fpc")) == sorted(dump(old))


def test_a_file_that_is_there_stays(full: Path, written: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.fpc").write_text("mine")
    with pytest.raises(FlukeprintError, match="is there already"):
        read_lines(full.with_name("all.jsonl"), tmp_path / "a.fpc")
    assert (tmp_path / "a.fpc").read_text() == "mine"
    with pytest.raises(FlukeprintError, match="none.jsonl: cannot be read"):
        read_lines(tmp_path / "none.jsonl", tmp_path / "b.fpc")
    with pytest.raises(FlukeprintError, match="is the catalogue itself"):
        write_lines(full, full)
    with pytest.raises(FlukeprintError, match="no such catalogue"):
        write_lines(tmp_path / "none.fpc", tmp_path / "b.jsonl")


def test_a_rescued_catalogue(full: Path, tmp_path: Path) -> None:
    raw = full.read_bytes()
    (tmp_path / "bad.fpc").write_bytes(raw.replace(b"seen, often", b"seen, never"))
    rescue(tmp_path / "bad.fpc", tmp_path / "good.fpc", who="Ann")
    write_lines(tmp_path / "good.fpc", tmp_path / "good.jsonl")
    read_lines(tmp_path / "good.jsonl", tmp_path / "new.fpc")
    assert dump(tmp_path / "new.fpc") == dump(tmp_path / "good.fpc")


@given(names=st.lists(NAME, min_size=1, max_size=4, unique=True), why=st.text(max_size=5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=5)
def test_any_names(tmp_path_factory: pytest.TempPathFactory, names: list[str], why: str) -> None:
    folder = tmp_path_factory.mktemp("names")
    with Catalogue.create(folder / "a.fpc") as book:
        reported = [photo(number, name, place=name) for number, name in enumerate(names, 1)]
        book.add_photos(reported, who=names[0], why=why.encode(errors="ignore").decode())
    write_lines(folder / "a.fpc", folder / "a.jsonl")
    read_lines(folder / "a.jsonl", folder / "b.fpc")
    assert dump(folder / "b.fpc") == dump(folder / "a.fpc")
