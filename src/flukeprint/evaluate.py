"""Score a model on a split: metrics with intervals, one row per query, and the no-learning answers.

Works from embeddings that exist and checks that they are this model's. Refuses queries that the
model was trained on.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flukeprint import metrics
from flukeprint.decide import Calibration, believe, order
from flukeprint.errors import FlukeprintError
from flukeprint.forecasts import Forecasts, true_probabilities
from flukeprint.identify import index_unseen, likeness_of
from flukeprint.model import Manifest, Model
from flukeprint.rank import GalleryIndex, index_gallery
from flukeprint.records import (
    ANSWERS,
    NEW_WHALE,
    Embeddings,
    Interval,
    Look,
    Split,
    Table,
    whale_apart,
)
from flukeprint.submission import fillers

HASH_DIGITS = 12


@dataclass(frozen=True, slots=True)
class EmbeddedTable:
    """A table's photos that could be read, by name, with their embeddings by one model.

    ``looks`` are what was seen in them, in the embeddings' order.
    """

    table: Table
    embeddings: Embeddings
    row_of: dict[str, int]
    looks: tuple[Look, ...]


@dataclass(frozen=True, slots=True)
class Queries:
    """A split's queries with their true answers.

    ``labels`` are the true individuals, ``new_whale`` where the gallery lacks the whale; ``whales``
    the individuals as labelled, by which the bootstrap resamples.
    """

    names: tuple[str, ...]
    labels: tuple[str, ...]
    whales: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """One system's scores on one split.

    ``queries`` has one dict per query; ``confused`` the pairs most often confused; ``bands`` the
    scores of photos of low, middle and high quality; ``reliability`` how often first answers of
    like probability are right; ``missed`` what reviewers miss at some miss rates. On ``no_fluke``
    of the queries the model sees none: they are scored by what it would guess of them.
    """

    system: str
    protocol: str
    gallery_photos: int
    gallery_whales: int
    queries_known: int
    queries_new: int
    metrics: dict[str, Interval]
    confused: list[tuple[str, str, int]]
    queries: list[dict[str, Any]]
    bands: list[dict[str, Any]] = field(default_factory=list)
    reliability: list[dict[str, Any]] = field(default_factory=list)
    missed: list[dict[str, Any]] = field(default_factory=list)
    no_fluke: int = 0

    def summary(self) -> dict[str, Any]:
        """Everything but the rows, for JSON."""
        kept = asdict(self)
        del kept["queries"]
        kept["metrics"] = {  # JSON has no nan
            name: {part: None if math.isnan(value) else value for part, value in shares.items()}
            for name, shares in kept["metrics"].items()
        }
        return kept


def ask(split: Split, table: Table, readable: set[str]) -> Queries:
    """The queries of a split that could be read, in order, and what is true of them.

    Raises:
        FlukeprintError: there is none.
    """
    rows = {row.name: row for row in table.rows}
    there = {rows[name].individual for name in split.gallery if name in readable}
    names = tuple(name for name in split.queries if name in readable)
    if not names:
        raise FlukeprintError(f"{table.source}: not one query could be read")
    whales = tuple(rows[name].individual for name in names)
    labels = tuple(whale if whale in there else NEW_WHALE for whale in whales)
    own = tuple(whale_apart(whale, name) for name, whale in zip(names, whales, strict=True))
    return Queries(names, labels, own)


def refuse_trained(model: Model, embedded: EmbeddedTable, asked: Queries) -> None:
    """Raises: FlukeprintError: the model has seen a query in training or calibration."""
    seen = set(model.manifest.trained_on)
    hashes = embedded.embeddings.hashes
    met = [n for n in asked.names if hashes[embedded.row_of[n]][:HASH_DIGITS] in seen]
    if met:
        raise FlukeprintError(
            f"{len(met)} of {len(asked.names)} queries were seen in this model's training, such as "
            f"{met[0]!r}; evaluate it on its own split, or on photos it has not seen"
        )


def usable(split: Split, embedded: EmbeddedTable, manifest: Manifest) -> set[str]:
    """The names of the photos to score with: those that were embedded.

    A softmax model compares with no photo, so that its whole gallery counts, embedded or not.
    """
    return set(embedded.row_of).union(split.gallery if manifest.kind == "softmax" else ())


def gallery_of(split: Split, embedded: EmbeddedTable, manifest: Manifest) -> GalleryIndex:
    """Index a split's gallery; a photo with several labels counts for each.

    Raises:
        FlukeprintError: the gallery is empty, or none of it could be read.
    """
    side = usable(split, embedded, manifest).intersection(split.gallery)
    rows = [row for row in embedded.table.rows if row.name in side]
    if not rows:
        raise FlukeprintError(f"{embedded.table.source}: not one gallery photo could be read")
    if manifest.kind == "softmax":
        return index_unseen(rows)
    picked = np.array([embedded.row_of[row.name] for row in rows])
    return index_gallery(
        embedded.embeddings.vectors[picked], [r.individual for r in rows], [r.name for r in rows]
    )


def evaluate_split(
    model: Model,
    split: Split,
    embedded: EmbeddedTable,
    calibration: Calibration | None = None,
) -> Report:
    """Score a model on a split, by the model's own calibration unless another is given.

    ``embedded`` holds the queries and the gallery; of a softmax model's the queries suffice.

    Raises:
        FlukeprintError: the embeddings are another model's, or a query was trained on.
    """
    if embedded.embeddings.model_id != model.id:
        raise FlukeprintError("these embeddings were made by another model; embed again")
    asked = ask(split, embedded.table, usable(split, embedded, model.manifest))
    refuse_trained(model, embedded, asked)
    index = gallery_of(split, embedded, model.manifest)
    vectors = embedded.embeddings.vectors[[embedded.row_of[name] for name in asked.names]]
    likeness = likeness_of(vectors, index, model.manifest)
    chosen = calibration or Calibration.from_dict(model.manifest.calibration)
    looks = [embedded.looks[embedded.row_of[name]] for name in asked.names]
    beliefs = believe(likeness, chosen)
    labels = (*index.individuals, NEW_WHALE)
    answers = [[labels[code] for code in row] for row in order(beliefs, ANSWERS + 1)]
    quality = np.array([seen.quality.value for seen in looks])
    true = true_probabilities(beliefs, index.individuals, asked.labels)
    forecasts = Forecasts(beliefs, true, quality)
    missed = forecasts.missed(model.manifest.true_probabilities)
    scored = score("flukeprint", split, asked, index, answers, forecasts)
    no_fluke = sum(not seen.fluke.seen for seen in looks)
    return replace(scored, missed=missed, no_fluke=no_fluke)


def evaluate_without_learning(
    split: Split, table: Table, twin_group: dict[str, int]
) -> list[Report]:
    """The answers that need no model: the bar that any model has to clear."""
    asked = ask(split, table, set(twin_group))
    index, systems = answers_without_learning(asked.names, split, table, twin_group)
    return [score(name, split, asked, index, answers) for name, answers in systems.items()]


def answers_without_learning(
    names: Sequence[str], split: Split, table: Table, twin_group: dict[str, int]
) -> tuple[GalleryIndex, dict[str, list[list[str]]]]:
    """The gallery, and what each system that learns nothing answers to the named photos.

    Up to six distinct labels a photo, best first.
    """
    side = set(split.gallery)
    rows = [row for row in table.rows if row.name in side and row.name in twin_group]
    frequent = fillers(Table(table.source, tuple(rows)))[: ANSWERS + 1]
    labels_of_twins = defaultdict(list)
    for row in rows:
        labels_of_twins[twin_group[row.name]].append(row.individual)
    return index_unseen(rows), {
        "new_whale first": [_distinct([NEW_WHALE, *frequent])] * len(names),
        "most frequent whales": [_distinct([*frequent[: ANSWERS - 1], NEW_WHALE])] * len(names),
        "twins' labels, new_whale": [
            _distinct([*labels_of_twins.get(twin_group[name], []), NEW_WHALE, *frequent])
            for name in names
        ],
    }


def _distinct(labels: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(labels))[: ANSWERS + 1]


def score(
    system: str,
    split: Split,
    asked: Queries,
    index: GalleryIndex,
    answers: Sequence[Sequence[str]],
    forecasts: Forecasts | None = None,
) -> Report:
    """Score ranked answers: up to six distinct labels a query, ``new_whale`` among the labels.

    The first five count for MAP@5. CMC on known whales leaves ``new_whale`` out, so that it tells
    the likeness apart from the decision. ``forecasts`` is what only a model tells.
    """
    codes = {label: code for code, label in enumerate([*index.individuals, NEW_WHALE])}
    truth = np.array([codes[label] for label in asked.labels], dtype=np.int64)
    known = truth != codes[NEW_WHALE]
    places = metrics.places_of(_coded(answers, codes), truth)
    whales = [[label for label in row if label != NEW_WHALE] for row in answers]
    among = metrics.places_of(_coded(whales, codes), truth)
    first = np.array([codes[row[0]] for row in answers], dtype=np.int64)

    said = np.zeros(len(truth)) if forecasts is None else forecasts.first()
    right = (places == 1).astype(np.float64)

    def statistics(weights: NDArray[np.float64]) -> dict[str, float]:
        on_known = weights * known
        made = {
            "map5": metrics.weighted_mean(metrics.reciprocal(places, ANSWERS), weights),
            "top1_known": metrics.weighted_mean(metrics.within(among, 1), on_known),
            "top5_known": metrics.weighted_mean(metrics.within(among, 5), on_known),
        }
        if forecasts is not None:
            made["auroc_known"] = metrics.auroc(known, -forecasts.beliefs.new, weights)
            made["calibration_error"] = metrics.calibration_error(said, right, weights=weights)
        return made | metrics.precision_recall_f1(truth, first, weights)

    return Report(
        system,
        split.protocol,
        len(index.photos),
        len(index.individuals),
        int(known.sum()),
        int((~known).sum()),
        metrics.bootstrap(statistics, asked.whales),
        metrics.most_confused(asked.labels, [row[0] for row in answers]),
        query_rows(asked, answers, places, forecasts),
        [] if forecasts is None else forecasts.bands(places, among, known),
        [] if forecasts is None else [asdict(part) for part in metrics.reliability(said, right)],
    )


def _coded(answers: Sequence[Sequence[str]], codes: dict[str, int]) -> NDArray[np.int64]:
    """(Q, 6) int64; short answers are filled with codes that no label has, each another one."""
    coded = np.tile(-1 - np.arange(ANSWERS + 1), (len(answers), 1))
    for row, labels in enumerate(answers):
        coded[row, : len(labels)] = [codes[label] for label in labels]
    return coded


def answers_of(row: dict[str, Any]) -> list[str]:
    """The answers in one of :func:`query_rows`' rows, best first."""
    given = (row.get(f"answer_{k + 1}") for k in range(ANSWERS))
    return [answer for answer in given if answer]


def likeliest_whale(row: dict[str, Any]) -> str:
    """The first answer in such a row that names a whale; empty where there is none."""
    return next((answer for answer in answers_of(row) if answer != NEW_WHALE), "")


def query_rows(
    asked: Queries,
    answers: Sequence[Sequence[str]],
    places: NDArray[np.int64],
    forecasts: Forecasts | None,
) -> list[dict[str, Any]]:
    """One row a query: its truth, the place of that (0 past five) and the five answers."""
    figures = [{"new": ""}] * len(asked.names) if forecasts is None else forecasts.rows()
    return [
        {
            "photo": name,
            "truth": asked.labels[row],
            "place": int(places[row]) if places[row] <= ANSWERS else 0,
            **figures[row],
            **{f"answer_{k + 1}": label for k, label in enumerate(answers[row][:ANSWERS])},
        }
        for row, name in enumerate(asked.names)
    ]
