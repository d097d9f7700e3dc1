"""Opening catalogues, and finding in them the photos and whales that a user names."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from flukeprint.cli_options import say
from flukeprint.errors import FlukeprintError

if TYPE_CHECKING:
    from flukeprint.catalogue import Catalogue

BACKUP_EVERY, BACKUP_BYTES = 25, 2_000_000
"""Events after which a decision is followed by a backup; for a large catalogue, which takes longer
to copy and check, as many as it has so many bytes."""
CLOSE_NAMES = 3


def photo_number(book: Catalogue, text: str) -> int:
    """A photo by its file, by the path it had, or by its number.

    Raises:
        FlukeprintError: it is not in the catalogue.
    """
    from flukeprint.photos import read_photo
    from flukeprint.records import Failure

    path = Path(text)
    if os.path.isfile(path):  # what the file shows now is what the user means
        read = read_photo(path)
        if isinstance(read, Failure):
            raise FlukeprintError(f"{path}: {read.reason}")
        found = book.find_photo(read.sha256)
    else:
        found = book.photo_at(path) or book.photo_at(book.root / path)
        if found is None and text.isdecimal():
            found = int(text)
    if found is None:
        raise FlukeprintError(f"{text}: no such photo in {book.path}; catalogue add brings it in")
    return found


def individual_number(book: Catalogue, name: str) -> int:
    """An individual by its name or alias.

    Raises:
        FlukeprintError: there is none; names alike are named.
    """
    from difflib import get_close_matches

    try:
        return book.find(name)
    except FlukeprintError as error:
        close = get_close_matches(name, book.individuals().values(), CLOSE_NAMES)
        hint = f"; there is {', '.join(close)}" if close else ""
        raise FlukeprintError(f"{error}{hint}") from None


def whale_or_photo(book: Catalogue, text: str) -> tuple[str, int]:
    """What a text names: ("individual", number) or ("photo", number).

    Where there is no such whale or photo any more, a whale that was undone.
    """
    try:
        individual = book.find(text)
    except FlukeprintError:
        try:
            return "photo", photo_number(book, text)
        except FlukeprintError:
            undone = book.once_called(text)
            return "individual", individual_number(book, text) if undone is None else undone
    with suppress(FlukeprintError):  # no photo of that number
        called = book.photo(int(text)).called if text.isdecimal() else ""
        if called:
            say(f"note: {text} is a whale here; the photo of that number is {called}", err=True)
    return "individual", individual


def writable(file: Path) -> bool:
    """Whether a catalogue may be written to, its journal beside it too."""
    real = os.path.realpath(file)  # a journal lies beside the file, not beside a link
    yours = os.access(real, os.W_OK) and os.access(os.path.dirname(real), os.W_OK)
    return yours and not _is_backup(file)


def _is_backup(file: Path) -> bool:
    """Whether it has the name that backups are kept under."""
    from flukeprint.catalogue.backup import BACKUP

    return file.suffix == BACKUP


def open_to_read(file: Path, root: Path | None = None) -> Catalogue:
    """Open a catalogue to look at it, also where it cannot be written.

    Where it can be, a change that was cut off is taken back first: nobody can read past that.

    Raises:
        FlukeprintError: see :meth:`flukeprint.catalogue.Catalogue.open`.
    """
    from flukeprint.catalogue import Catalogue

    return Catalogue.open(file, root=root, read_only=not writable(file))


def open_to_write(file: Path, root: Path | None = None) -> Catalogue:
    """Open a catalogue to note something in it.

    Raises:
        FlukeprintError: it is a backup, or :meth:`Catalogue.open` refuses.
    """
    from flukeprint.catalogue import Catalogue

    if _is_backup(file):
        raise FlukeprintError(
            f"{file}: a backup, which stays as it is; copy it under a name without .backup, and go "
            "on with that"
        )
    return Catalogue.open(file, root=root)


def back_up(book: Catalogue, *, every: int | None = None) -> None:
    """Keep a backup where so many events came since the last one."""
    usual = max(BACKUP_EVERY, book.path.stat().st_size // BACKUP_BYTES)
    try:
        made = book.keep_backup(every=usual if every is None else every)
    except FlukeprintError as error:
        say(f"warning: all is noted, but no backup was made: {error}", err=True)
        return
    if made:
        say(f"backup: {made}", err=True)


def echo_lines(lines: Iterable[str]) -> None:
    """Print lines below what they belong to."""
    for line in lines:
        say(f"  {line}")
