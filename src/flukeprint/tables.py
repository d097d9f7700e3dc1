"""Labelled collections, read and checked once at the door.

Three layouts: a Kaggle folder (``train.csv`` with ``Image,Id`` beside ``train/``, either also as
.zip), a folder with one subfolder per whale, and a CSV with ``path,identity`` and optional
``date,encounter``.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import shutil
import tempfile
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from flukeprint.cells import unguard
from flukeprint.errors import FlukeprintError
from flukeprint.photos import SUFFIXES, UNREAD_SUFFIXES, passed_over, photos_under
from flukeprint.records import Failure, LabelledPhoto, Table, label_of, spelled
from flukeprint.wording import plural

LISTINGS = ("train.csv", "train.csv.zip", "train.zip")
NOT_FLUKES = "not_flukes"
"""A collection's folder of photos of other things, for the finder to learn from."""
MAX_CSV_BYTES = 64 * 1024 * 1024
MOST_UNPACKED = 20  # times its packed size: photos hardly shrink, a bomb shrinks a thousandfold
ZIP_ERRORS = (OSError, EOFError, KeyError, RuntimeError, zipfile.BadZipFile, zlib.error)
WORDS = {",": "a comma", ";": "a semicolon", "\t": "a tab"}
"""What may part a CSV file's cells; the first wins where the others part no more of them."""


def read_table(data: Path, absent: list[Failure] | None = None) -> Table:
    """Read a labelled collection.

    ``absent`` takes the photos that a Kaggle folder lists and that are not there, where they are no
    error; then its photos are files of their own, too, that stay where they lie.

    Raises:
        FlukeprintError: the path is missing, holds no known layout, lists a photo that is not
            there, or a CSV has a wrong header or an unreadable row.
    """
    if os.path.isfile(data) and data.suffix.lower() == ".csv":
        return _read_paths_csv(data)
    if not os.path.isdir(data):
        hint = "give a folder or a .csv file" if os.path.exists(data) else "check the spelling"
        hint = "a catalogue's file goes with --catalogue" if data.suffix == ".fpc" else hint
        raise FlukeprintError(f"{data}: not a labelled collection; {hint}")
    for name in LISTINGS[:2]:
        if (data / name).is_file():
            return _read_kaggle(data, data / name, absent)
    return _read_folders(data)


def files_of(table: Table) -> list[Path]:
    """Every file that a collection is read from, not to be written over."""
    listings = [table.source / name for name in LISTINGS]
    return [table.source, *listings, *(row.path for row in table.rows)]


def fingerprint(table: Table) -> str:
    """SHA-256 over names and labels, so that two machines can tell they speak of one table."""
    digest = hashlib.sha256()
    for row in sorted(table.rows, key=lambda row: (row.name, row.individual)):
        line = f"{row.name}\0{row.individual}\0{row.encounter}\n"
        digest.update(line.encode(errors="surrogatepass"))
    return digest.hexdigest()


def _read_kaggle(data: Path, listing: Path, absent: list[Failure] | None) -> Table:
    rows = csv_rows(listing, ("Image", "Id"))
    folder = data / "train"
    if not folder.is_dir():
        if absent is not None and (data / "train.zip").is_file():
            raise FlukeprintError(f"{data}: unpack train.zip to train/ first, to stay there")
        folder = _unpacked(data / "train.zip")
    present = set(_listed(folder))
    entries = []
    for line, row in rows:
        name = unguard(row["Image"])
        if name not in present:
            if absent is None:
                raise FlukeprintError(
                    f"{listing}, line {line}: lists {name!r}, which is not in {folder}; "
                    "add the photo or drop the line"
                )
            why = f"listed in {listing.name}, line {line}, but not there"
            absent.append(Failure(folder / name, why))
            continue
        entries.append(LabelledPhoto(name, folder / name, _label(listing, line, row["Id"])))
    if absent and not entries:
        sought = str(absent[0].path)
        raise FlukeprintError(f"{listing}: no photo that it lists is there; looked for {sought!r}")
    return _checked(data, entries)


def _read_paths_csv(listing: Path) -> Table:
    entries = []
    for line, row in csv_rows(listing, ("path", "identity")):
        name = unguard(row["path"])
        path = photo_of(listing, name)
        if not name or not os.path.isfile(path):
            raise FlukeprintError(
                f"{listing}, line {line}: no photo at {str(path)!r}; paths are relative to the CSV"
            )
        entries.append(
            LabelledPhoto(
                name,
                path,
                _label(listing, line, row["identity"]),
                _plain(row.get("date", "")),
                _plain(row.get("encounter", "")),
            )
        )
    return _checked(listing, entries)


def photo_of(listing: Path, name: str) -> Path:
    """Where a photo lies that a CSV names; a path written on Windows or a Mac is read elsewhere."""
    plain = name.replace("\\", "/")
    # A Mac's disk and what is typed or copied elsewhere spell accents in two ways.
    spellings = (name, plain, *(unicodedata.normalize(form, plain) for form in ("NFC", "NFD")))
    paths = [listing.parent / spelling for spelling in spellings]
    return next((path for path in paths if os.path.isfile(path)), paths["\\" in name])


def _read_folders(data: Path) -> Table:
    entries: list[LabelledPhoto] = []
    names = [name for name in sorted(_listed(data)) if not name.startswith(".")]
    whales = [name for name in names if os.path.isdir(data / name) and name != NOT_FLUKES]
    for name in whales:
        entries.extend(
            LabelledPhoto(path.relative_to(data).as_posix(), path, label_of(name) or name)
            for path in photos_under(data / name)
        )
    if not entries:
        raise FlukeprintError(
            f"{data}: no labelled photos here; expected train.csv beside train/, "
            "or one subfolder of photos per whale"
        )
    photos = SUFFIXES | UNREAD_SUFFIXES
    loose = [name for name in names if Path(name).suffix.lower() in photos and name not in whales]
    skipped = passed_over([data / name for name in whales])
    seen = {entry.name.partition("/")[0] for entry in entries}
    empty = [name for name in whales if name not in seen]
    notes = [*_inside_whales(entries), *_beside_whales(loose), *_without_photos(empty)]
    notes += [skipped] if skipped else []
    return _checked(data, entries, notes)


def _inside_whales(entries: Sequence[LabelledPhoto]) -> list[str]:
    """A note where whales' folders hold folders: the outer ones may be seasons and no whales."""
    deep = [entry for entry in entries if entry.name.count("/") > 1]
    if not deep:
        return []
    folders = plural(
        len({entry.name.partition("/")[0] for entry in deep}),
        *("whale's folder holds", "whales' folders hold"),
    )
    whale, inner, *_ = deep[0].name.split("/")
    return [
        f"{folders} further folders: photos in {f'{whale}/{inner}'!r} count as of whale {whale!r}; "
        f"if {inner!r} is the whale, give each folder such as {whale!r} by itself"
    ]


def _beside_whales(loose: Sequence[str]) -> list[str]:
    """A note on photos that lie in nobody's folder."""
    if not loose:
        return []
    return [f"left out {plural(len(loose), 'photo')} in no whale's folder, such as {loose[0]!r}"]


def _without_photos(empty: Sequence[str]) -> list[str]:
    """A note on whales' folders that give no photo."""
    if not empty:
        return []
    return [f"no photo in {plural(len(empty), 'folder')}, such as {empty[0]!r}"]


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError as error:
        raise FlukeprintError(f"{folder}: cannot list this folder: {error.strerror}") from None


def _checked(source: Path, entries: list[LabelledPhoto], notes: Sequence[str] = ()) -> Table:
    if not entries:
        raise FlukeprintError(f"{source}: lists no photos")
    unique = list(dict.fromkeys(entries))
    notes = list(notes)
    if len(unique) < len(entries):
        repeats = plural(len(entries) - len(unique), "row repeats", "rows repeat")
        notes.append(f"{repeats} an earlier one; each counts once")
    labels = Counter(name for name, _ in {(entry.name, entry.individual) for entry in unique})
    several = sorted(name for name, count in labels.items() if count > 1)
    if several:
        notes.append(
            f"{plural(len(several), 'photo has', 'photos have')} several labels, "
            f"such as {several[0]!r}; all are kept"
        )
    return Table(source, tuple(unique), tuple(notes))


def _label(listing: Path, line: int, cell: str) -> str:
    label = label_of(unguard(cell))
    if not label:
        raise FlukeprintError(f"{listing}, line {line}: no whale named; fill it in or drop it")
    return label


def _plain(cell: str) -> str:
    return spelled(unguard(cell))


def csv_header(listing: Path) -> list[str]:
    """The names in a CSV file's first line, empty ones left out. See :func:`csv_rows`."""
    text = _csv_text(listing)
    try:
        return _names(_first_row(text, _delimiter(text)))
    except csv.Error as error:
        raise FlukeprintError(f"{listing}: not a valid CSV file: {error}") from None


def csv_rows(listing: Path, needed: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    """A CSV file's rows with their line numbers; every row has all the header's cells.

    Commas, semicolons or tabs part the cells, whichever parts most cells of the first line. Columns
    without a name and rows without anything in them, as spreadsheets save them, are left out.

    Raises:
        FlukeprintError: it cannot be read, a needed column is missing or a row is ragged.
    """
    text = _csv_text(listing)
    try:
        parted_by = _delimiter(text)
        reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=parted_by)
        header = next(reader, [])
        names = _names(header)
        missing = [column for column in needed if column not in names]
        if missing:
            raise FlukeprintError(
                f"{listing}: the first line must name the columns {','.join(needed)}; "
                f"{','.join(missing)} is missing{_hint(names)}"
            )
        if len(set(names)) < len(names):
            raise FlukeprintError(f"{listing}: the first line names a column twice")
        rows = []
        for cells in reader:
            if not "".join(cells).strip():
                continue
            if len(cells) != len(header):
                hint = f"; put quotes around cells that hold {WORDS[parted_by]}"
                raise FlukeprintError(
                    f"{listing}, line {reader.line_num}: {len(cells)} cells where the first line "
                    f"has {len(header)}{hint if len(cells) > len(header) else ''}"
                )
            row = {name: cell for name, cell in zip(header, cells, strict=True) if name.strip()}
            rows.append((reader.line_num, row))
    except csv.Error as error:
        raise FlukeprintError(f"{listing}: not a valid CSV file: {error}") from None
    return rows


def _delimiter(text: str) -> str:
    """What parts most cells of the first line."""

    def cells(delimiter: str) -> int:
        try:
            return len(_first_row(text, delimiter))
        except csv.Error:  # quotes that another delimiter would explain
            return 0

    return max(WORDS, key=cells)


def _first_row(text: str, delimiter: str) -> list[str]:
    return next(csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter), [])


def _names(header: list[str]) -> list[str]:
    return [name for name in header if name.strip()]


def _hint(header: list[str]) -> str:
    if {"Image", "Id"} <= set(header):
        return "; this looks like a Kaggle train.csv: give the folder it lies in"
    return ""


def _csv_text(listing: Path) -> str:
    try:
        if listing.suffix == ".zip":
            with zipfile.ZipFile(listing) as archive:
                member = archive.getinfo(listing.stem)
                if member.file_size > MAX_CSV_BYTES:
                    raise FlukeprintError(f"{listing}: {listing.stem} is too large to be a list")
                raw = archive.read(member)
        else:
            if listing.stat().st_size > MAX_CSV_BYTES:
                raise FlukeprintError(f"{listing}: too large to be a list of photos")
            raw = listing.read_bytes()
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FlukeprintError(f"{listing}: not UTF-8 text; save it as CSV UTF-8") from None
    except FileNotFoundError:
        raise FlukeprintError(f"{listing}: no such file; check the spelling") from None
    except ZIP_ERRORS as error:
        why = getattr(error, "strerror", None) or error
        raise FlukeprintError(f"{listing}: cannot be read: {why}") from None


def _unpacked(archive: Path) -> Path:
    """The folder ``train/`` of a Kaggle zip, unpacked once into the temporary folder."""
    if not archive.is_file():
        raise FlukeprintError(
            f"{archive.parent}: train.csv is here but neither train/ nor train.zip"
        )
    stamp = archive.stat()
    key = hashlib.sha256(
        f"{archive.resolve()}\0{stamp.st_size}\0{stamp.st_mtime_ns}".encode(errors="surrogatepass")
    ).hexdigest()[:16]
    user = os.getuid() if hasattr(os, "getuid") else 0  # Windows: each has a folder of their own
    target = Path(tempfile.gettempdir()) / f"flukeprint-{user}-{key}"
    if _is_own(target, user):
        if _is_whole(target, archive):
            return target
        shutil.rmtree(target, ignore_errors=True)  # what cleans the folder has begun with this one
    fresh = Path(tempfile.mkdtemp(prefix="flukeprint-"))
    try:
        _unpack(archive, fresh)
        os.replace(fresh, target)
    except ZIP_ERRORS as error:
        shutil.rmtree(fresh, ignore_errors=True)
        if _is_own(target, user):  # another run was faster
            return target
        raise FlukeprintError(f"{archive}: cannot be unpacked: {error}") from None
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return target


def _is_own(folder: Path, user: int) -> bool:
    """Whether the folder is there, and nobody else's: the temporary folder is open to all."""
    return folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == user


def _is_whole(folder: Path, archive: Path) -> bool:
    """Whether all of the archive's photos are still in the folder."""
    try:
        with zipfile.ZipFile(archive) as packed:
            return {Path(photo.filename).name for photo in _photos_in(packed)} <= {*_listed(folder)}
    except ZIP_ERRORS as error:
        raise FlukeprintError(f"{archive}: cannot be unpacked: {error}") from None


def _photos_in(packed: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    return [
        member
        for member in packed.infolist()
        if not member.is_dir() and Path(member.filename).suffix.lower() in SUFFIXES
    ]


def _unpack(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as packed:
        photos = _photos_in(packed)
        if sum(photo.file_size for photo in photos) > MOST_UNPACKED * archive.stat().st_size:
            raise zipfile.BadZipFile("it would unpack to many times its size, as photos never do")
        for photo in photos:
            name = Path(photo.filename).name  # flat: a member cannot climb out of the folder
            with packed.open(photo) as source, (folder / name).open("xb") as copy:
                shutil.copyfileobj(source, copy)
