"""Write whole files or nothing: beside the target first, then rename."""

from __future__ import annotations

import json
import os
import tempfile
from codecs import BOM_UTF8
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

from flukeprint.errors import FlukeprintError

NO_MARKS: Mapping[str, str] = MappingProxyType({})


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """Open ``path`` to be written whole; an error leaves what was there before.

    Raises:
        FlukeprintError: the folder cannot be written to, or the disk is full.
    """
    temporary: str | None = None
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise OSError("it is there and is not a file")  # never put a file in place of /dev/null
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
        with os.fdopen(handle, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o666 & ~umask())
        os.replace(temporary, path)
        temporary = None
    except OSError as error:
        reason = error.strerror or str(error)
        raise FlukeprintError(f"{path}: cannot be written: {reason}") from error
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)


def write_bytes(path: Path, data: bytes | memoryview) -> None:
    """Write ``data`` to ``path``. See :func:`writing`."""
    with writing(path) as stream:
        stream.write(data)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` as UTF-8. See :func:`writing`."""
    try:
        data = text.encode("utf-8", errors="surrogateescape")
    except UnicodeEncodeError:
        raise FlukeprintError(f"{path}: a name to be written is not valid Unicode") from None
    write_bytes(path, data)


def make_folder(path: Path) -> Path:
    """Make a folder, parents too, and return it.

    Raises:
        FlukeprintError: it cannot be made, or is a file.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FlukeprintError(f"{path}: cannot make this folder: {error.strerror}") from error
    return path


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        FlukeprintError: the file is missing or holds none.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise FlukeprintError(f"{path}: not a readable JSON file: {error}") from None
    if not isinstance(raw, dict):
        raise FlukeprintError(f"{path}: expected a JSON object")
    return raw


def check_outputs(
    outputs: Mapping[str, Path | None],
    inputs: Iterable[Path],
    *,
    folders: bool = False,
    begins: Mapping[str, str] = NO_MARKS,
    holds: Mapping[str, str] = NO_MARKS,
) -> None:
    """Refuse to write over what is read, one result over another, or where nothing can be written.

    Outputs are files, or ``folders``. ``begins`` says with what text an option's files begin, and
    ``holds`` what its zip files hold: a file that is there and differs is somebody's own.

    Raises:
        FlukeprintError: an output, by its option's name, is one of the inputs, another output or
            somebody's own file, or :func:`check_writable` refuses it.
    """
    if all(path is None for path in outputs.values()):  # a million inputs take their time
        return
    read = {os.path.realpath(path) for path in inputs if "\0" not in str(path)}
    written: dict[str, str] = {}
    for option, path in outputs.items():
        if path is None:
            continue
        place = os.path.realpath(path)
        if place in read:
            raise FlukeprintError(f"{option} {path}: this file is read, not written; name another")
        if place in written:
            raise FlukeprintError(f"{option} {path}: {written[place]} goes there; name another")
        check_writable(path, folder=folders)
        if not _begins(path, begins.get(option, "")) or not _holds(path, holds.get(option)):
            raise FlukeprintError(
                f"{option} {path}: another kind of file is there; delete it or name another"
            )
        written[place] = option


def _begins(path: Path, text: str) -> bool:
    """Whether a file, if there is one with anything in it, begins with a text."""
    try:
        with path.open("rb") as stream:
            start = stream.read(len(BOM_UTF8) + len(text.encode())).removeprefix(BOM_UTF8)
    except OSError:
        return True
    return start.startswith(text.encode()) or not start


def _holds(path: Path, member: str | None) -> bool:
    """Whether a file, if there is one with anything in it, is a zip file with a member."""
    if member is None or not os.path.isfile(path) or not path.stat().st_size:
        return True
    import zipfile  # what --help must not wait for

    try:
        with zipfile.ZipFile(path) as archive:
            return member in archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError):
        return False


def check_writable(path: Path, *, folder: bool = False) -> None:
    """Refuse, before any work, a file or a ``folder`` that could not be written after it.

    Raises:
        FlukeprintError: something else is there, or it would lie where nothing can be written.
    """
    if os.path.exists(path) and not (os.path.isdir if folder else os.path.isfile)(path):
        kind = "folder" if folder else "file"
        raise FlukeprintError(f"{path}: it is there and is not a {kind}; name another")
    start = path if folder else path.parent
    nearest = next((place for place in (start, *start.parents) if os.path.lexists(place)), start)
    if not os.path.isdir(nearest):
        raise FlukeprintError(f"{path}: cannot be written: {nearest} is not a folder; name another")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise FlukeprintError(f"{path}: cannot be written: you may not write in {nearest}")


def beside(path: Path, ending: str) -> Path:
    """The file next to ``path`` that is named as it is without suffix, and then ``ending``.

    Raises:
        FlukeprintError: ``path`` has no name, as ``.`` has none.
    """
    if not path.name:
        raise FlukeprintError(f"{path}: a folder; name a file in it")
    return path.with_name(f"{path.stem}{ending}")


def check_outside(out: Path, data: Path, photos: Iterable[Path] = ()) -> None:
    """Refuse to write a report into the collection it is about, or where nothing can be written.

    ``photos`` are the collection's: those that a CSV lists may lie anywhere.

    Raises:
        FlukeprintError: the folder ``out`` is the collection's, lies in it or holds one of the
            photos, or :func:`check_writable` refuses it.
    """
    place, collection = Path(os.path.realpath(out)), Path(os.path.realpath(data))
    if data.is_dir() and (place == collection or collection in place.parents):
        raise FlukeprintError(f"{out}: lies in the collection itself; name a folder outside it")
    for photo in photos:
        # Also what a link leads to is a photo that no report may replace.
        if place in (Path(os.path.realpath(photo.parent)), Path(os.path.realpath(photo)).parent):
            raise FlukeprintError(f"{out}: the photo {photo.name} lies there; name another folder")
    check_writable(out, folder=True)


def umask() -> int:
    """The bits that the user's new files do without."""
    current = os.umask(0)
    os.umask(current)
    return current
