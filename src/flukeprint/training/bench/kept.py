"""What the bench keeps of each system on disk: its scores, and one row a query."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flukeprint import metrics
from flukeprint.cells import unguard
from flukeprint.errors import FlukeprintError
from flukeprint.evaluate import Report
from flukeprint.files import make_folder, read_json, write_text
from flukeprint.records import ANSWERS, NEW_WHALE
from flukeprint.scoring import write_queries
from flukeprint.tables import csv_rows
from flukeprint.training.bench.rows import Scored

SCORES, QUERIES, CONFUSED = "scores.json", "queries.csv", "confused.csv"
OURS, WITHOUT_LEARNING = "flukeprint-measured", "without-learning"


@dataclass(frozen=True, slots=True)
class Kept:
    """A run's scores and cost; ``papers`` are scores on the papers' protocol beside others.

    ``name`` says whose they are where no recipe does.
    """

    scored: Scored | None
    epochs: int | None = None
    parameters: int | None = None
    seconds_per_epoch: float | None = None
    papers: Scored | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Ranks:
    """How Q queries were answered: names, 1 / place of the truth, and which are of new whales."""

    photos: tuple[str, ...]
    reciprocal: NDArray[np.float64]
    new: NDArray[np.bool_]


def keep(path: Path, kept: Kept) -> None:
    """Write a run's scores."""
    body = asdict(kept)
    for name in ("scored", "papers"):
        scored = getattr(kept, name)
        body[name] = scored.to_dict() if scored else None
    make_folder(path)
    write_text(path / SCORES, json.dumps(body, indent=1) + "\n")


def read_kept(path: Path) -> Kept | None:
    """What :func:`keep` wrote; None where nothing is kept yet.

    Raises:
        FlukeprintError: the file is not what was kept.
    """
    if not (path / SCORES).is_file():
        return None
    body = read_json(path / SCORES)
    try:
        for name in ("scored", "papers"):
            body[name] = Scored.from_dict(body[name]) if body[name] else None
        return Kept(**body)
    except (KeyError, TypeError, FlukeprintError) as error:
        raise FlukeprintError(f"{path / SCORES}: not a bench's scores: {error}") from None


def keep_report(path: Path, report: Report) -> None:
    """Write one row a query, and the whales most often confused."""
    make_folder(path)
    write_queries(report, path / QUERIES, path / CONFUSED)


def read_ranks(path: Path) -> Ranks | None:
    """How a system answered the open-set split; None where that is not kept.

    Raises:
        FlukeprintError: what is kept is damaged.
    """
    if not (path / QUERIES).is_file():
        return None
    rows = [row for _, row in csv_rows(path / QUERIES, ("photo", "truth", "place"))]
    try:
        places = np.array([int(row["place"]) for row in rows])
    except ValueError as error:
        raise FlukeprintError(f"{path / QUERIES}: not a bench's answers: {error}") from None
    return Ranks(
        tuple(unguard(row["photo"]) for row in rows),
        metrics.reciprocal(places, ANSWERS),
        np.array([row["truth"] == NEW_WHALE for row in rows]),
    )
