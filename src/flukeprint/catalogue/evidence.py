"""What models said: looks, embeddings and rankings, each bound to the model it came from.

These are added to and never changed: a verdict's evidence has to stay what was on the screen.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

import flukeprint.catalogue.state as state
from flukeprint.catalogue.log import now
from flukeprint.errors import FlukeprintError
from flukeprint.records import Box, Embeddings, Fluke, Look, Quality

LOOK = (
    "x0, y0, x1, y1, probability, slope, upside_down, others, width_px, height_px, sharpness, "
    "contrast, tilt_deg, quality"
)


@dataclass(frozen=True, slots=True)
class Ranking:
    """A list of likeliest individuals as it was shown for one photo.

    ``candidates`` are (individual's number, its name then, probability), likeliest first; ``new``
    is the probability that the individual is in no catalogue; ``at`` is UTC; ``revision`` was the
    catalogue's last event when the photo was compared, None in what older versions noted.
    """

    id: int
    photo: int
    model_id: str
    at: str
    new: float
    candidates: tuple[tuple[int, str, float], ...]
    revision: int | None


@dataclass(frozen=True, slots=True)
class Shown:
    """What was shown for one photo: (individual's number, probability), likeliest first."""

    photo: int
    candidates: tuple[tuple[int, float], ...]
    new: float


def keep_looks(link: sqlite3.Connection, model_id: str, looks: Mapping[str, Look]) -> int:
    """Note what a model saw in photos, by SHA-256; those noted before stay. Returns how many."""
    model = _model(link, model_id)
    marks = ", ".join("?" * (len(LOOK.split(",")) + 2))
    before = link.total_changes
    for sha256, look in looks.items():
        fluke, quality = look.fluke, look.quality
        link.execute(
            f"INSERT OR IGNORE INTO look (photo, model, {LOOK}) VALUES ({marks})",
            (
                *(_photo(link, sha256), model, *fluke.box.corners, fluke.probability),
                *(fluke.slope, fluke.upside_down, fluke.others, quality.width_px),
                *(quality.height_px, quality.sharpness, quality.contrast, quality.tilt_deg),
                quality.value,
            ),
        )
    return link.total_changes - before


def read_look(link: sqlite3.Connection, photo: int, model_id: str) -> Look | None:
    """What a model saw in a photo, None where it never looked."""
    row = link.execute(
        f"SELECT {LOOK} FROM look JOIN model ON model.id = model WHERE photo = ? AND name = ?",
        (photo, model_id),
    ).fetchone()
    if row is None:
        return None
    fluke = Fluke(Box(*row[:4]), row[4], row[5], bool(row[6]), row[7])
    return Look(fluke, Quality(*row[8:]))


def keep_embeddings(link: sqlite3.Connection, embeddings: Embeddings, *, half: bool) -> int:
    """Note a model's embeddings, as float16 if ``half``; those noted before stay.

    Returns how many were new.
    """
    model, dtype = _model(link, embeddings.model_id), "<f2" if half else "<f4"
    size = _size(link, model)
    if size not in (None, embeddings.vectors.shape[1]):
        raise FlukeprintError(
            f"embeddings of {embeddings.vectors.shape[1]} numbers do not fit those of the same "
            f"model that are kept ({size}); was its file changed?"
        )
    before = link.total_changes
    link.executemany(
        "INSERT OR IGNORE INTO embedding (photo, model, dtype, vector) VALUES (?, ?, ?, ?)",
        (
            (_photo(link, sha256), model, dtype, vector.astype(dtype).tobytes())
            for sha256, vector in zip(embeddings.hashes, embeddings.vectors, strict=True)
        ),
    )
    return link.total_changes - before


def read_embeddings(link: sqlite3.Connection, model_id: str) -> Embeddings:
    """All embeddings by one model, (N, D) float32, in the order of photo numbers."""
    rows = link.execute(
        "SELECT photo.sha256, dtype, vector FROM embedding JOIN model ON model.id = model"
        " JOIN photo ON photo.id = photo WHERE name = ? ORDER BY photo.id",
        (model_id,),
    ).fetchall()
    vectors = [np.frombuffer(blob, dtype=dtype).astype(np.float32) for _, dtype, blob in rows]
    found = np.stack(vectors) if vectors else np.empty((0, 0), dtype=np.float32)
    return Embeddings(found, tuple(sha256.hex() for sha256, _, _ in rows), model_id)


def keep_ranking(
    link: sqlite3.Connection,
    photo: int,
    model_id: str,
    candidates: Sequence[tuple[int, float]],
    new: float,
    seen: int,
) -> int:
    """Note a ranking as it is shown, (individual, probability) likeliest first; its number.

    ``seen`` is the catalogue's last event when the photo was compared.
    """
    named = []
    for individual, probability in candidates:
        # Also of one that others merged or undid while the model was at work.
        if not link.execute("SELECT 1 FROM individual WHERE id = ?", (individual,)).fetchone():
            raise FlukeprintError(f"no individual has the number {individual}")
        name = state.value(link, "i", individual, "name") or f"individual {individual}"
        named.append((individual, name, probability))
    if not link.execute("SELECT 1 FROM photo WHERE id = ?", (photo,)).fetchone():
        raise FlukeprintError(f"no photo has the number {photo}")
    cursor = link.execute(
        "INSERT INTO ranking (photo, model, at, new, candidates, revision)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        (photo, _model(link, model_id), now(), new, json.dumps(named, ensure_ascii=False), seen),
    )
    return int(cursor.lastrowid or 0)


def last_ranking(link: sqlite3.Connection, photo: int) -> int | None:
    """The number of the ranking last shown for a photo."""
    found = link.execute("SELECT max(id) FROM ranking WHERE photo = ?", (photo,)).fetchone()[0]
    return None if found is None else int(found)


def read_ranking(link: sqlite3.Connection, number: int) -> Ranking:
    """A ranking as it was shown.

    Raises:
        FlukeprintError: there is none of that number.
    """
    found = find_ranking(link, number)
    if found is None:
        raise FlukeprintError(f"no ranking has the number {number}")
    return found


def find_ranking(link: sqlite3.Connection, number: int) -> Ranking | None:
    """A ranking as it was shown; None where it is lost, as it may be after a rescue."""
    row = link.execute(
        "SELECT photo, name, at, new, candidates, revision FROM ranking r"
        " JOIN model ON model.id = model WHERE r.id = ?",
        (number,),
    ).fetchone()
    if row is None:
        return None
    photo, model_id, at, new, shown, seen = row
    candidates = tuple((who, name, share) for who, name, share in json.loads(shown))
    return Ranking(number, photo, model_id, at, new, candidates, seen)


def match_probabilities(link: sqlite3.Connection) -> dict[int, float]:
    """What the ranking on the screen gave to whom a photo was decided to be, by photo number.

    Photos that nobody decided on, or without a ranking, are left out. For an individual that the
    decision made, it is the probability of "new". A merge is no decision about a photo: the one
    before it counts.
    """
    events = {
        number: (kind, ranking)
        for number, kind, ranking in link.execute("SELECT id, kind, ranking FROM event")
    }
    found = {}
    rows = link.execute(
        "SELECT i.subject, i.value, i.owner, s.owner FROM cell i JOIN cell s ON s.kind = 'p'"
        " AND s.subject = i.subject AND s.field = 'state' AND s.item = ''"
        " WHERE i.kind = 'p' AND i.field = 'individual' AND i.value IS NOT NULL"
    ).fetchall()
    for photo, who, placed, stated in rows:
        decided = 0 if events[stated][0] == "merge" else stated
        while placed > decided and events[placed][0] == "merge":
            row = link.execute(
                "SELECT before, before_owner FROM effect WHERE event = ? AND kind = 'p'"
                " AND subject = ? AND field = 'individual'",
                (placed, photo),
            ).fetchone()
            if row is None:  # lost, as it may be after a rescue
                break
            who, placed = row
        decision = max(placed, decided)
        if not decision:  # labels that disagreed until a merge: nobody decided
            continue
        ranking = events[decision][1]
        share = None if ranking is None else _share(link, ranking, who, decision)
        if share is not None:
            found[photo] = share
    return found


def _share(link: sqlite3.Connection, ranking: int, who: int, event: int) -> float | None:
    """The probability of an individual in a ranking; None if it was not shown, or that is lost."""
    shown = find_ranking(link, ranking)
    if shown is None:
        return None
    born = link.execute("SELECT event FROM individual WHERE id = ?", (who,)).fetchone()
    if born == (event,):
        return shown.new
    return next((share for one, _, share in shown.candidates if one == who), None)


def _model(link: sqlite3.Connection, model_id: str) -> int:
    link.execute("INSERT OR IGNORE INTO model (name) VALUES (?)", (model_id,))
    return int(link.execute("SELECT id FROM model WHERE name = ?", (model_id,)).fetchone()[0])


def _size(link: sqlite3.Connection, model: int) -> int | None:
    row = link.execute(
        "SELECT length(vector), dtype FROM embedding WHERE model = ? LIMIT 1", (model,)
    ).fetchone()
    return None if row is None else int(row[0]) // np.dtype(row[1]).itemsize


def _photo(link: sqlite3.Connection, sha256: str) -> int:
    number = state.photo_number(link, sha256)
    if number is None:
        raise FlukeprintError(f"the photo {sha256[:12]} is not in the catalogue; import it first")
    return number
