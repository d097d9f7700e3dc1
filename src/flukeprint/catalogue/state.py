"""The present state: one value for each cell, derived from the log and kept for quick reading.

Questions say ``+field = ?``: without the plus SQLite plans anew for each value of the parameter, as
a partial index might serve it, which takes thirty times as long as the answer.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator
from itertools import groupby
from typing import NamedTuple

from flukeprint.catalogue.log import EFFECT, EMPTY, Held, Key, Value, effect_from, write_cells
from flukeprint.errors import FlukeprintError
from flukeprint.records import spelled
from flukeprint.wording import terminal_line

FACTS = ("date", "place", "latitude", "longitude", "photographer", "encounter")
"""What a photo's owner tells of it; an encounter is the name its owner gave it."""
UNNAMED = "unnamed"
"""The cell that says that a photo was imported as ``new_whale``: of a whale that nobody named."""
IMPORTED, CONFIRMED, UNSURE, CONFLICT = "imported", "confirmed", "unsure", "conflict"
NO_WHALE = "no whale"
"""States of a photo; none is unidentified. Imported: named by a label that nobody confirmed."""
STATES = (IMPORTED, CONFIRMED, UNSURE, CONFLICT, NO_WHALE)


def held(link: sqlite3.Connection, key: Key) -> Held:
    """A cell of the present state."""
    row = link.execute(
        "SELECT value, owner FROM cell WHERE kind = ? AND subject = ? AND +field = ? AND item = ?",
        key,
    ).fetchone()
    return EMPTY if row is None else Held(*row)


def value(link: sqlite3.Connection, kind: str, subject: int, field: str) -> Value:
    """The value of a cell that is the only one of its field."""
    return held(link, Key(kind, subject, field)).value


def items(link: sqlite3.Connection, kind: str, subject: int, field: str) -> dict[int | str, Value]:
    """The cells of a field with several, those without a value left out."""
    rows = link.execute(
        "SELECT item, value FROM cell WHERE kind = ? AND subject = ? AND +field = ?"
        " AND value IS NOT NULL ORDER BY item",
        (kind, subject, field),
    )
    return dict(rows.fetchall())


def photo_number(link: sqlite3.Connection, sha256: str) -> int | None:
    """The number of the photo with this content, None where it is not catalogued."""
    row = link.execute("SELECT id FROM photo WHERE sha256 = ?", (bytes.fromhex(sha256),)).fetchone()
    return None if row is None else int(row[0])


def photo_at(link: sqlite3.Connection, path: str) -> int | None:
    """Which photo lies at a path from the root, as far as known."""
    row = link.execute(
        "SELECT photo FROM file WHERE path = ? ORDER BY id DESC LIMIT 1", (path,)
    ).fetchone()
    return row[0] if row else None


def photo_once_at(link: sqlite3.Connection, path: str) -> int | None:
    """Which photo lay at a path from the root last, also where it was found elsewhere since."""
    row = link.execute(
        "SELECT photo FROM file WHERE path = ? AND photo IS NOT NULL ORDER BY id DESC LIMIT 1",
        (path,),
    ).fetchone()
    return row[0] if row else None


def paths_of(link: sqlite3.Connection, photo: int) -> list[str]:
    """Where the photo's files lie, relative to the root, in the order in which they were seen."""
    rows = link.execute(
        "SELECT path FROM file f WHERE photo = ? AND NOT EXISTS"
        " (SELECT 1 FROM file later WHERE later.path = f.path AND later.id > f.id) ORDER BY id",
        (photo,),
    )
    return [path for (path,) in rows]


class KnownFile(NamedTuple):
    """A file as it was when it was imported: its photo's SHA-256, its size and time."""

    sha256: str
    size_bytes: int
    mtime_ns: int | None

    def is_as(self, stamp: os.stat_result) -> bool:
        """Whether a file has the size and the time that it had, and need not be read again."""
        return (self.size_bytes, self.mtime_ns) == (stamp.st_size, stamp.st_mtime_ns)


def files(link: sqlite3.Connection) -> dict[str, KnownFile]:
    """All files at present, by path."""
    rows = link.execute(
        "SELECT path, sha256, size_bytes, mtime_ns FROM file f JOIN photo ON photo.id = f.photo"
        " WHERE NOT EXISTS (SELECT 1 FROM file later WHERE later.path = f.path AND later.id > f.id)"
    )
    return {path: KnownFile(sha256.hex(), *rest) for path, sha256, *rest in rows}


def photo_words(link: sqlite3.Connection, photo: int) -> str:
    """A photo as people read of it."""
    paths = paths_of(link, photo)
    return photo_called(photo, paths[0] if paths else None)


def photo_called(photo: int, path: str | None) -> str:
    """A photo as people read of it, by its first file's path."""
    return f"photo {photo}" if path is None else f"photo {photo} ({terminal_line(path)})"


def members(link: sqlite3.Connection, individual: int) -> list[int]:
    """The photos of an individual, in number order."""
    rows = link.execute(
        "SELECT subject FROM cell WHERE field = 'individual' AND value = ? ORDER BY subject",
        (individual,),
    )
    return [photo for (photo,) in rows]


def noted(link: sqlite3.Connection, individual: int) -> list[Key]:
    """The cells that say of a photo that it was imported as this individual, or is not it."""
    rows = link.execute(
        "SELECT kind, subject, field, item FROM cell WHERE field IN ('label', 'not') AND item = ?"
        " AND value IS NOT NULL ORDER BY subject, field",
        (individual,),
    )
    return [Key(*row) for row in rows]


def called(link: sqlite3.Connection, text: str) -> list[Key]:
    """The cells that give a name or an alias, also to an individual that is no more."""
    rows = link.execute(
        "SELECT kind, subject, field, item FROM cell WHERE field = 'name' AND value = ? UNION ALL"
        " SELECT kind, subject, field, item FROM cell"
        " WHERE field = 'alias' AND item = ? AND value IS NOT NULL",
        (text, text),
    )
    return [Key(*row) for row in rows]


def last_name(link: sqlite3.Connection, individual: int) -> Value:
    """The last name that an individual ever had; None where nobody ever gave it one."""
    row = link.execute(
        "SELECT after FROM effect WHERE kind = 'i' AND subject = ? AND field = 'name'"
        " AND after IS NOT NULL ORDER BY event DESC LIMIT 1",
        (individual,),
    ).fetchone()
    return row[0] if row else None


def holders(link: sqlite3.Connection, text: str) -> list[tuple[int, str]]:
    """Who goes by a name: (individual, ``name`` or ``alias``)."""
    found = called(link, text)
    return [(key.subject, key.field) for key in found if is_alive(link, key.subject)]


def names_alike(link: sqlite3.Connection, text: str) -> list[tuple[int, str]]:
    """Individuals whose names differ from this one by capitals alone, with those names."""
    rows = link.execute(
        "SELECT subject, value FROM cell WHERE field = 'name' AND value IS NOT NULL AND kind = 'i'"
    )
    alike = [(who, name) for who, name in rows if name.casefold() == text.casefold()]
    return [(who, name) for who, name in alike if name != text and is_alive(link, who)]


def is_alive(link: sqlite3.Connection, individual: int) -> bool:
    """Whether the individual exists at present: made, not merged into another, not undone."""
    return value(link, "i", individual, "alive") == 1


def find(link: sqlite3.Connection, name: str) -> int:
    """The individual that goes by this name or alias.

    Raises:
        FlukeprintError: there is none.
    """
    found = holders(link, spelled(name))
    if not found:
        raise FlukeprintError(f"no individual is named {name!r}; check the spelling")
    return found[0][0]


def once_called(link: sqlite3.Connection, name: str) -> int | None:
    """The individual that has no name any more, as it was undone, and had this one last."""
    rows = link.execute(
        "SELECT subject FROM effect WHERE field = 'name' AND after IS NULL AND before = ?"
        " ORDER BY id DESC",
        (spelled(name),),
    )
    undone = (who for (who,) in rows if value(link, "i", who, "name") is None)
    return next((who for who in undone if last_name(link, who) == spelled(name)), None)


def box_text(corners: tuple[float, float, float, float]) -> str:
    """A box as a cell holds it."""
    return json.dumps(corners)


def _order(key: Key) -> tuple[str, int, str, bool, int | str]:
    """The order in which SQLite sorts cells: numbers before text."""
    return (*key[:3], isinstance(key.item, str), key.item)


def derived(
    link: sqlite3.Connection, broken: dict[int, str] | None = None
) -> Iterator[tuple[Key, Held]]:
    """The state as the log alone gives it, in the order of keys.

    Into ``broken`` go the events that did not find a cell as the events before had left it.
    """
    rows = link.execute(f"SELECT {EFFECT} FROM effect ORDER BY kind, subject, field, item, id")
    numbered = ((row[0], effect_from(row)) for row in rows)
    for key, group in groupby(numbered, key=lambda pair: pair[1].key):
        last = EMPTY
        for event, effect in group:
            if effect.before != last and broken is not None:
                broken[event] = f"does not follow from the events before ({_cell_words(key)})"
            last = effect.after
        if last != EMPTY:
            yield key, last


def differences(link: sqlite3.Connection, broken: dict[int, str] | None = None) -> list[str]:
    """A line for each cell in which the kept state differs from the log; () is as it must be."""
    kept = (
        (Key(*row[:4]), Held(*row[4:]))
        for row in link.execute(
            "SELECT kind, subject, field, item, value, owner FROM cell"
            " ORDER BY kind, subject, field, item"
        )
    )
    lines = []
    end = None
    fresh = derived(link, broken)
    ours, theirs = next(fresh, end), next(kept, end)
    while ours or theirs:
        if theirs is None or (ours and _order(ours[0]) < _order(theirs[0])):
            assert ours
            lines.append(f"{_cell_words(ours[0])}: {ours[1].value!r} by the log, but not kept")
            ours = next(fresh, end)
        elif ours is None or _order(theirs[0]) < _order(ours[0]):
            lines.append(f"{_cell_words(theirs[0])}: {theirs[1].value!r} kept, not by the log")
            theirs = next(kept, end)
        else:
            if ours != theirs:
                lines.append(
                    f"{_cell_words(ours[0])}: {ours[1].value!r} (event {ours[1].owner}) by the "
                    f"log, {theirs[1].value!r} (event {theirs[1].owner}) kept"
                )
            ours, theirs = next(fresh, end), next(kept, end)
    return lines


def rebuild(link: sqlite3.Connection) -> list[str]:
    """Derive the state again; what differed is put right and reported, a line for each cell."""
    lines = differences(link)
    if lines:
        fresh = list(derived(link))
        link.execute("DELETE FROM cell")
        write_cells(link, iter(fresh))
    return lines


def _cell_words(key: Key) -> str:
    kind = "photo" if key.kind == "p" else "individual"
    item = "" if key.item == "" else f" {key.item!r}"
    return f"{kind} {key.subject}, {key.field}{item}"
