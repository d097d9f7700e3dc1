"""Answers for other programs: one line of JSON a photo, or a CSV file."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from flukeprint.cells import Cell, csv_text
from flukeprint.files import write_text
from flukeprint.records import NEW_WHALE, Failure, Identification, Interval, Look

NOTHING: Mapping[str, Any] = MappingProxyType({})
FIRST = ("photo", "fluke", "quality", "new", "to_review")
LAST = ("remarks", "error")
"""The first and the last columns of the CSV file."""
TILTED_DEG, SMALL_PX, POOR = 10.0, 48.0, 0.35
"""From where a tilt, a small fluke and a poor photo are remarked upon."""


def verdict(answer: Identification) -> str:
    """In words: "known", "new", "undecided" or "no fluke".

    Where a whale is the likeliest answer, all whales together are believed by half or more. "New"
    may be the likeliest single answer and still be less likely than they are: undecided.
    """
    if answer.no_fluke:
        return "no fluke"
    name, probability = likeliest(answer)
    if name != NEW_WHALE:
        return "known"
    return "new" if probability >= 0.5 else "undecided"


def likeliest(answer: Identification) -> tuple[str, float]:
    """The likeliest whale, or ``new_whale``, with its probability; new yields to a whale as likely.

    For a photo that could not be read, or shows no fluke, it is ``new_whale`` with probability 0.
    """
    named = [(candidate.individual, candidate.probability) for candidate in answer.candidates]
    return max([*named, (NEW_WHALE, answer.new or 0.0)], key=lambda pair: pair[1])


def interval_text(interval: Interval | None, sign: str = "") -> str:
    """Such as ``0.569 (0.524-0.611)``; a difference shows its signs."""
    if interval is None or math.isnan(interval.value):
        return "-"
    parts = interval.value, interval.low, interval.high
    value, low, high = (f"{part:{sign}z.3f}" for part in parts)  # z: no minus before 0.000
    return f"{value} ({low} to {high})" if sign else f"{value} ({low}-{high})"


def share(probability: float) -> str:
    """A probability in whole per cent, never "0 %" for something nor "100 %" for less than all."""
    if 0 < probability < 0.01:
        return "<1 %"
    return ">99 %" if 0.99 < probability < 1 else f"{100 * probability:.0f} %"


def json_line(answer: Identification, top: int, more: Mapping[str, Any] = NOTHING) -> str:
    """One line of ASCII JSON: the photo, what was seen, the ``top`` candidates, ``new``, ``error``.

    See :func:`seen_in` for what was seen; a photo without a fluke has no candidates, and ``new``
    is null. ``to_review`` is there where a miss rate was asked for. ``more`` comes behind that.

    ``json.loads`` gives every name back as it was, also one that is not valid UTF-8 on disk.
    """
    return json.dumps(
        {
            "photo": answer.photo,
            **seen_in(answer.look),
            "candidates": [
                {
                    "individual": candidate.individual,
                    "probability": candidate.probability,
                    "photos": list(candidate.photos),
                }
                for candidate in answer.candidates[:top]
            ],
            "new": answer.new,
            **({} if answer.to_review is None else {"to_review": answer.to_review}),
            "error": answer.failure,
            **more,
        }
    )


def seen_in(look: Look | None) -> dict[str, Any]:
    """What was seen in a photo, for JSON; null throughout for a photo that could not be read.

    ``box`` is [x0, y0, x1, y1] in pixels of the photo as it stands upright by its EXIF
    orientation, null where no fluke is seen; ``fluke`` is the probability that one is there.
    ``quality`` runs from 0 to 1. ``upside_down`` and ``tilt_deg`` say how the fluke was turned
    before it was compared, ``other_flukes`` how many smaller ones there are.
    """
    if look is None:
        return dict.fromkeys(("box", "fluke", "quality", "upside_down", "tilt_deg", "other_flukes"))
    fluke, quality = look.fluke, look.quality
    across = quality.width_px / (fluke.box.x1 - fluke.box.x0)
    down = quality.height_px / (fluke.box.y1 - fluke.box.y0)
    corners = (
        *(fluke.box.x0 * across, fluke.box.y0 * down),
        *(fluke.box.x1 * across, fluke.box.y1 * down),
    )
    return {
        "box": [round(corner, 2) for corner in corners] if fluke.seen else None,
        "fluke": round(fluke.probability, 6),
        "quality": round(quality.value, 4),
        "upside_down": fluke.upside_down,
        "tilt_deg": round(quality.tilt_deg, 2),
        "other_flukes": fluke.others,
    }


def look_line(photo: str, seen: Look | Failure, crop: Path | None) -> str:
    """One line of ASCII JSON on one photo: what was seen, the ``crop`` written, ``error``."""
    return json.dumps(
        {
            "photo": photo,
            **seen_in(None if isinstance(seen, Failure) else seen),
            "crop": None if crop is None else str(crop),
            "error": seen.reason if isinstance(seen, Failure) else None,
        }
    )


def remarks(look: Look) -> list[str]:
    """What a person should know of the photo beside its name, in a few words each."""
    fluke, quality = look.fluke, look.quality
    if not fluke.seen:
        return ["no fluke seen"]
    notes = []
    if fluke.others:
        notes.append(f"the largest of {fluke.others + 1} flukes is used")
    if fluke.upside_down:
        notes.append("upside down, turned")
    if abs(quality.tilt_deg) >= TILTED_DEG:
        notes.append(f"tilted by {abs(quality.tilt_deg):.0f} degrees, levelled")
    if min(quality.width_px, quality.height_px) < SMALL_PX:
        notes.append(f"small: {quality.width_px:.0f} x {quality.height_px:.0f} pixels")
    if quality.value < POOR:
        notes.append("poor photo")
    return notes


def write_csv(answers: Sequence[Identification], top: int, path: Path) -> None:
    """Write a row per photo: ``FIRST``, answer_1, probability_1, ... up to ``top``, ``LAST``.

    The quality of a fluke that is not seen is left empty. See :func:`remarks`.
    Cells that a spreadsheet would run get an apostrophe: see :func:`flukeprint.cells.guard`.

    Raises:
        FlukeprintError: the file cannot be written.
    """
    named = [f"{what}_{k + 1}" for k in range(top) for what in ("answer", "probability")]
    rows = []
    for answer in answers:
        seen = seen_in(answer.look)
        quality = None if answer.no_fluke else seen["quality"]
        notes = "; ".join(remarks(answer.look)) if answer.look else None
        cells: list[Cell] = [answer.photo, seen["fluke"], quality]
        cells += [answer.new, answer.to_review]
        for candidate in answer.candidates[:top]:
            cells += [candidate.individual, candidate.probability]
        cells += [None] * (len(FIRST) + 2 * top - len(cells))
        rows.append([*cells, notes, answer.failure])
    write_text(path, csv_text([*FIRST, *named, *LAST], rows)[0])
