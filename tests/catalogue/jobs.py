"""Jobs that are killed: ``python -m tests.catalogue.jobs JOB FOLDER``, or :func:`run` again.

Each says the number and seal of every event once it is noted, and begun again goes on behind what
is there. The catalogue is ``FOLDER/book``; the photos that ``import`` reads lie in ``FOLDER/..``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from flukeprint.catalogue import (
    Catalogue,
    CorrectBox,
    Different,
    Incoming,
    Merge,
    Move,
    New,
    Rename,
    Same,
    Split,
    Undo,
    Unsure,
    arrive,
    bring_in,
    from_files,
)
from flukeprint.catalogue.draft import Decision
from flukeprint.catalogue.photos_in import Import
from flukeprint.photos import photos_under
from flukeprint.records import Box
from tests.catalogue.small import photo, query

JOBS = ("import", "add", "decide", "merge", "backup")
PHOTOS = 60
WHALES = 12
Say = Callable[[int], None]


def draw(folder: Path) -> None:
    """The photos that ``import`` reads: tiny, each of its own grey."""
    folder.mkdir()
    for number in range(PHOTOS):
        Image.new("L", (64 + number, 64), 4 * number).save(folder / f"{number:02}.jpg")


def prepare(folder: Path, job: str) -> None:
    """The catalogue as the job finds it: event 1 is an import, except for ``import``."""
    folder.mkdir()
    with Catalogue.create(folder / "book", root=folder.parent) as book:
        if job != "import":
            known = [photo(n, f"w{n % WHALES}" if n < PHOTOS // 2 else "") for n in range(PHOTOS)]
            book.add_photos(known, who="Ann")


def run(job: str, folder: Path, say: Say) -> None:
    """Do a job, or what is left of it."""
    with Catalogue.open(folder / "book") as book:
        if job == "import":
            _import(book, folder.parent / "photos", say)
        elif job == "add":
            for first in range(0, 40, 5):
                batch = [photo(n, f"new {n % 7}", date=f"19{n % 90:02}") for n in range(200, 240)]
                reported = book.add_photos(batch[first : first + 5], who="Ann")
                if reported.event:
                    say(reported.event)
        else:
            todo = {"decide": verdicts, "merge": merges, "backup": renames}[job]()
            for decision in todo[book.revision - 1 :]:
                say(book.decide(decision, who="Bo", why="seen").revision)
                if job == "backup":
                    book.keep_backup()
            if job == "backup":
                book.keep_backup()


def _import(book: Catalogue, photos: Path, say: Say) -> None:
    plain = book.add_photos

    def add(incoming: Sequence[Incoming], *, who: str, why: str, dry_run: bool) -> Import:
        reported = plain(incoming, who=who, why=why, dry_run=dry_run)
        if reported.event:
            say(reported.event)
        return reported

    book.add_photos = add  # type: ignore[assignment, method-assign]
    before, arrive.BATCH = arrive.BATCH, 4
    try:
        bring_in(book, from_files(photos_under(photos), {"place": "bay"}), who="Ann")
    finally:
        arrive.BATCH = before


def verdicts() -> list[Decision]:
    """A verdict of each kind on photos that nobody knows, and some undone."""
    said: list[Decision] = []
    for number in range(PHOTOS // 2 + 1, PHOTOS + 1):
        whale = number % WHALES + 1
        said += [
            (Same(number, whale), New(number, f"n{number}"), Unsure(number))[number % 3],
            CorrectBox(number, Box(0.0, 0.0, number / 100, 1.0)),
            Move(number, whale, f"day {number}"),
            Different(number, whale),
            Undo(len(said) + 5),
        ]
    return said


def merges() -> list[Decision]:
    """All whales of the import into one, some split off again."""
    said: list[Decision] = [Merge(1, whale) for whale in range(2, WHALES + 1)]
    for number in range(2, PHOTOS // 2):
        said.append(Split(1, (number,), f"s{number}"))
        said.append(Undo(len(said) + 1) if number % 2 else Merge(1, WHALES + number - 1))
    return said


def renames() -> list[Decision]:
    """Decisions of which each is followed by a backup."""
    return [Rename(1, f"name {number}") for number in range(15)]


def main() -> None:
    """Be a process that can be killed."""
    job, folder = sys.argv[1], Path(sys.argv[2])

    def say(event: int) -> None:
        ((seal,),) = query(folder / "book", f"SELECT hex(seal) FROM event WHERE id = {event}")
        os.write(1, f"{event} {seal}\n".encode())

    os.write(1, b"go\n")
    run(job, folder, say)
    os.write(1, b"done\n")


if __name__ == "__main__":
    main()
