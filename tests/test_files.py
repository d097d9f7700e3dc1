"""A file is written whole or not at all."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from flukeprint.errors import FlukeprintError
from flukeprint.files import (
    beside,
    check_outputs,
    check_outside,
    check_writable,
    make_folder,
    read_json,
    write_bytes,
    write_text,
    writing,
)


def full(*args: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_folders_are_made_and_the_bytes_are_there(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "c.bin"
    write_bytes(path, b"whole")
    assert path.read_bytes() == b"whole"
    assert os.listdir(path.parent) == ["c.bin"]


def test_text_is_utf_8_and_undecodable_names_keep_their_bytes(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "鯨\udcff\n")
    assert (tmp_path / "a").read_bytes() == "鯨".encode() + b"\xff\n"


@pytest.mark.parametrize("there", [None, b"old"])
def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bytes | None
) -> None:
    path = tmp_path / "a"
    if there is not None:
        path.write_bytes(there)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FlukeprintError, match="a: cannot be written: No space left on device"):
        write_bytes(path, b"new")
    assert os.listdir(tmp_path) == ([] if there is None else ["a"])
    assert there is None or path.read_bytes() == there


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_disk_that_fills_while_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fdopen = os.fdopen

    def filled(handle: int, mode: str) -> object:
        os.close(handle)
        return fdopen(os.open("/dev/full", os.O_WRONLY), mode)

    monkeypatch.setattr(os, "fdopen", filled)
    with pytest.raises(FlukeprintError, match="No space left on device"):
        write_bytes(tmp_path / "a", bytes(10**6))
    assert os.listdir(tmp_path) == []


def test_an_error_or_interrupt_while_writing_leaves_nothing(tmp_path: Path) -> None:
    for stop in (ValueError, KeyboardInterrupt):
        with pytest.raises(stop), writing(tmp_path / "a") as stream:
            stream.write(b"half")
            raise stop
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**options: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)  # root writes whatever the mode says
    with pytest.raises(FlukeprintError, match="a: cannot be written: Permission denied"):
        write_bytes(tmp_path / "a", b"")


def test_a_file_in_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FlukeprintError, match="cannot be written: (Not a directory|File exists)"):
        write_bytes(tmp_path / "file" / "a", b"")
    with pytest.raises(FlukeprintError, match="cannot make this folder"):
        make_folder(tmp_path / "file")


def test_what_is_there_and_no_file_stays(tmp_path: Path) -> None:
    with pytest.raises(FlukeprintError, match="it is there and is not a file"):
        write_bytes(tmp_path, b"")
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_device_is_not_replaced(tmp_path: Path) -> None:
    """As root, ``--out /dev/null`` would put a file in its place."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(FlukeprintError, match="not a file"):
        write_bytes(tmp_path / "pipe", b"")
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)


@pytest.mark.skipif(os.name == "nt", reason="no modes here")
def test_files_have_the_users_own_mode(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_bytes(tmp_path / "a", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(tmp_path / "a").st_mode) == 0o640


def test_make_folder_makes_parents_and_may_be_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    assert make_folder(path) == path == make_folder(path)
    assert path.is_dir()


def test_a_file_beside_another_is_named_like_it(tmp_path: Path) -> None:
    assert beside(tmp_path / "s.tar.json", "-0.json") == tmp_path / "s.tar-0.json"
    assert beside(Path("s"), "-matches.csv") == Path("s-matches.csv")
    for nameless in (Path(), Path("/")):
        with pytest.raises(FlukeprintError, match=r"^[./\\]: a folder; name a file in it$"):
            beside(nameless, "-0.json")


def test_what_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "new", tmp_path / "a" / "b" / "new"):
        check_writable(path)
    for path in (tmp_path, tmp_path / "a" / "b"):
        check_writable(path, folder=True)
    assert os.listdir(tmp_path) == ["file"]
    with pytest.raises(FlukeprintError, match="it is there and is not a file"):
        check_writable(tmp_path)
    with pytest.raises(FlukeprintError, match="it is there and is not a folder"):
        check_writable(tmp_path / "file", folder=True)
    for folder in (False, True):
        with pytest.raises(FlukeprintError, match="cannot be written: .*file is not a folder"):
            check_writable(tmp_path / "file" / "a" / "b", folder=folder)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    for folder in (False, True):
        with pytest.raises(FlukeprintError, match="new: cannot be written: you may not write in"):
            check_writable(tmp_path / "new", folder=folder)


def test_outputs_and_reports_are_checked_for_that(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    with pytest.raises(FlukeprintError, match="folder: it is there and is not a file"):
        check_outputs({"--csv": tmp_path / "new", "--sheet": tmp_path / "folder"}, [])
    check_outputs({"OUT": tmp_path / "folder"}, [], folders=True)
    with pytest.raises(FlukeprintError, match="file: it is there and is not a folder"):
        check_outside(tmp_path / "file", tmp_path / "photos.csv")


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "[]"])
def test_a_file_that_holds_no_object_is_an_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(FlukeprintError, match=r"run\.json: (not a readable|expected a) JSON"):
        read_json(tmp_path / "run.json")
