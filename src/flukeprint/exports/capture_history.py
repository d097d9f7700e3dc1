"""Who was met when, for capture-recapture: a matrix of 0 and 1, and how sure each 1 is.

The matrix has a row for each individual that was met at least once: one never met has no capture
history, and a row of zeros would be read as a whale known not to be there. It has a column for each
occasion of which there is a photo with a date, also where nobody was identified: that was effort
without a capture. Occasions of which there is no photo have no column.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from flukeprint.catalogue.history import PhotoNow
from flukeprint.cells import Cell
from flukeprint.errors import FlukeprintError
from flukeprint.exports.cells import write_csv
from flukeprint.exports.exporting import CONFIRMED_FIRST, Exporting, left_out
from flukeprint.files import beside
from flukeprint.tables import csv_header
from flukeprint.wording import plural

DATE_LETTERS = {"year": 4, "month": 7, "day": 10}
"""How much of an ISO 8601 date tells the occasion."""
BY = (*DATE_LETTERS, "encounter")
MATCHES = ("individual", "occasion", "photos", "state", "probability")

Met = dict[tuple[int, str], list[PhotoNow]]


def write_capture_history(exporting: Exporting, out: Path) -> tuple[str, ...]:
    """Write ``out``, individuals by occasions, and beside it ``NAME-matches.csv``, one row a 1.

    The second has the columns ``MATCHES``: how many photos, the state of the best confirmed one,
    and the probability that the ranking on the screen gave it, where there was one.

    Raises:
        FlukeprintError: ``by`` is unknown, another file has the second one's name, or one cannot
            be written.
    """
    if exporting.by not in BY:
        raise FlukeprintError(f"no occasion is called {exporting.by!r}; say {', '.join(BY)}")
    occasions = _occasions(exporting.photos, exporting.by)
    met = _met(exporting.photos, exporting.by)
    individuals = sorted({who for who, _ in met}, key=lambda who: exporting.names[who])
    matrix: list[tuple[Cell, ...]] = [
        (exporting.names[who], *(int((who, occasion) in met) for occasion in occasions))
        for who in individuals
    ]
    matches = matches_file(out)
    rows: list[tuple[Cell, ...]] = [
        (exporting.names[who], occasion, *_match(met[who, occasion], exporting))
        for who in individuals
        for occasion in occasions
        if (who, occasion) in met
    ]
    _check_ours(matches)
    notes = write_csv(out, ("individual", *occasions), matrix)
    notes += write_csv(matches, MATCHES, rows)
    done = f"{plural(len(individuals), 'individual')}, {plural(len(occasions), 'occasion')}"
    return (f"{done}: {out} and {matches.name}", *notes, *_not_shown(exporting, individuals))


def _check_ours(matches: Path) -> None:
    """Nobody named this file: what is there already must be such a table."""
    if os.path.lexists(matches) and tuple(csv_header(matches)) != MATCHES:
        raise FlukeprintError(f"{matches}: is there already, and another table; name another OUT")


def matches_file(out: Path) -> Path:
    """Where the second table goes. See :func:`flukeprint.files.beside`."""
    return beside(out, "-matches.csv")


def occasion_of(photo: PhotoNow, by: str) -> str | None:
    """The occasion that a photo belongs to; None where what is known does not tell."""
    if by == "encounter":
        return photo.facts.get("encounter")
    letters = DATE_LETTERS[by]
    return photo.date[:letters] if len(photo.date) >= letters else None


def _occasions(photos: Sequence[PhotoNow], by: str) -> list[str]:
    """All occasions in time order, encounters by their first date; those without one come last."""
    first: dict[str, str] = {}
    for photo in photos:
        occasion = occasion_of(photo, by)
        if occasion is not None:
            date = photo.date or "~"  # behind all digits
            first[occasion] = min(date, first.get(occasion, date))
    return sorted(first, key=lambda occasion: (first[occasion], occasion))


def _met(photos: Sequence[PhotoNow], by: str) -> Met:
    met: Met = {}
    for photo in photos:
        occasion = occasion_of(photo, by)
        if photo.individual is not None and occasion is not None:
            met.setdefault((photo.individual, occasion), []).append(photo)
    return met


def _match(photos: Sequence[PhotoNow], exporting: Exporting) -> tuple[Cell, ...]:
    """How many photos a 1 rests on, and the surest of them."""
    known = exporting.probabilities

    def order(photo: PhotoNow) -> tuple[int, float]:
        return CONFIRMED_FIRST.index(photo.state or "conflict"), -known.get(photo.number, -1.0)

    best = min(photos, key=order)
    probability = known.get(best.number)
    rounded: Cell = "" if probability is None else round(probability, 6)
    return len(photos), best.state or "", rounded


def _not_shown(exporting: Exporting, shown: Sequence[int]) -> list[str]:
    by = exporting.by
    why = "no encounter known" if by == "encounter" else f"no date, or none that tells the {by}"
    bare = [photo for photo in exporting.photos if occasion_of(photo, by) is None]
    nobody = [
        photo
        for photo in exporting.photos
        if photo.individual is None and occasion_of(photo, by) is not None
    ]
    notes = left_out(bare, why) + left_out(nobody, "unidentified; their occasions have a column")
    missing = len(exporting.names) - len(shown)
    if missing:
        notes.append(f"left out {plural(missing, 'individual')}: no photo tells when it was met")
    return notes
