"""Score a run as its paper's authors did, and bring reports to what the table shows."""

from __future__ import annotations

from collections.abc import Container, Sequence

import numpy as np
from numpy.typing import NDArray

from flukeprint import metrics
from flukeprint.collection import Collection
from flukeprint.errors import FlukeprintError
from flukeprint.evaluate import (
    Queries,
    Report,
    answers_of,
    answers_without_learning,
    gallery_of,
    query_rows,
)
from flukeprint.identify import likeness_of
from flukeprint.model import Model, load_model
from flukeprint.network import Network
from flukeprint.progress import Progress, no_progress
from flukeprint.rank import GalleryIndex, nearest
from flukeprint.records import ANSWERS, NEW_WHALE, Split, Table, whale_apart
from flukeprint.scoring import RUN_MODEL
from flukeprint.splits import read_split
from flukeprint.training.bench.rows import Scored, collapse_share
from flukeprint.training.config import TrainConfig
from flukeprint.training.report import embedded_for
from flukeprint.training.runfolder import RunFolder


def scored_report(report: Report) -> Scored:
    """A report as the table shows it, without its gains over others."""
    found = report.metrics
    return Scored(
        map5=found["map5"],
        top1=found["top1_known"],
        top5=found["top5_known"],
        f1_macro=found["f1_macro"],
        collapse=collapse_share([answers_of(row) for row in report.queries]),
        queries=len(report.queries),
        auroc_known=found.get("auroc_known"),
    )


def paper_report(
    folder: RunFolder,
    config: TrainConfig,
    collection: Collection,
    progress: Progress = no_progress,
) -> Report:
    """A run on its random split, with ``new_whale`` treated as its paper's authors did.

    Labels are true as written: a whale that the other 80 % lack cannot be answered and is a miss.
    UCSD: ``new_whale`` is a label like others. Stanford: it is in neither part, and always the
    first of the five answers; top-1, top-5 and F1 are those of the four whales.
    """
    network = Network(load_model(folder.path / RUN_MODEL))
    model, split = network.model, read_split(folder.split)
    embedded = embedded_for(network, split, collection, progress)
    left_out = config.new_whale == "left-out"
    asked = paper_queries(split, collection.table, embedded.row_of, left_out=left_out)
    vectors = embedded.embeddings.vectors[[embedded.row_of[name] for name in asked.names]]
    index = gallery_of(split, embedded, model.manifest)
    answers = paper_answers(vectors, index, model, left_out=left_out)
    return score_as_written("flukeprint", answers, asked, index)


def paper_queries(
    split: Split, table: Table, readable: Container[str], *, left_out: bool
) -> Queries:
    """A random split's queries that could be read, with their labels as written.

    Raises:
        FlukeprintError: there is none.
    """
    label = {row.name: row.individual for row in table.rows}
    names = tuple(
        name
        for name in split.queries
        if name in readable and not (left_out and label[name] == NEW_WHALE)
    )
    if not names:
        raise FlukeprintError(f"{table.source}: not one query of a named whale could be read")
    truth = tuple(label[name] for name in names)
    whales = tuple(whale_apart(true, name) for name, true in zip(names, truth, strict=True))
    return Queries(names, truth, whales)


def paper_answers(
    vectors: NDArray[np.float32], index: GalleryIndex, model: Model, *, left_out: bool
) -> list[list[str]]:
    """The first six labels for each of Q network outputs: likeliest classes, nearest neighbours.

    Five are answered; a sixth makes five whales where ``new_whale`` is one of them.
    """
    labels = (*index.individuals, NEW_WHALE)
    if model.manifest.kind == "softmax":
        likeness = likeness_of(vectors, index, model.manifest)
    else:
        likeness = nearest(vectors, index)
    values = np.column_stack([likeness.whales, likeness.new])
    if left_out:
        values[:, -1] = np.inf
    order = np.argsort(-values, axis=1, kind="stable")[:, : ANSWERS + 1]
    return [[labels[code] for code in row] for row in order]


def paper_without_learning(split: Split, collection: Collection) -> dict[str, Report]:
    """Answers that need no learning on a random split, where twins do lie on both sides."""
    asked = paper_queries(split, collection.table, collection.twin_group, left_out=False)
    index, systems = answers_without_learning(
        asked.names, split, collection.table, collection.twin_group
    )
    return {
        system: score_as_written(system, answers, asked, index)
        for system, answers in systems.items()
    }


def score_as_written(
    system: str, answers: Sequence[Sequence[str]], asked: Queries, index: GalleryIndex
) -> Report:
    """Score answers against labels as written, whichever they are.

    Each query has up to six distinct labels, of which five count. Precision, recall and F1 are
    those of the first whale answered, over queries of named whales.
    """
    truth = asked.labels
    given = {label for row in answers for label in row}
    codes = {label: code for code, label in enumerate(sorted({*truth, *given}))}
    true = np.array([codes[label] for label in truth], dtype=np.int64)
    known = np.array([label != NEW_WHALE for label in truth])
    places = np.array([_place(label, row) for label, row in zip(truth, answers, strict=True)])
    whales = [[label for label in row if label != NEW_WHALE] for row in answers]
    among = np.array([_place(label, row) for label, row in zip(truth, whales, strict=True)])
    first = np.array([codes[row[0]] if row else -1 for row in whales], dtype=np.int64)

    def statistics(weights: NDArray[np.float64]) -> dict[str, float]:
        on_known = weights * known
        return {
            "map5": metrics.weighted_mean(metrics.reciprocal(places, ANSWERS), weights),
            "top1_known": metrics.weighted_mean(metrics.within(among, 1), on_known),
            "top5_known": metrics.weighted_mean(metrics.within(among, ANSWERS), on_known),
            **metrics.precision_recall_f1(true, first, on_known),
        }

    return Report(
        system,
        "random",
        len(index.photos),
        len(index.individuals),
        int(known.sum()),
        int((~known).sum()),
        metrics.bootstrap(statistics, asked.whales),
        metrics.most_confused(truth, [row[0] if row else "" for row in whales]),
        query_rows(asked, answers, places, None),
    )


def _place(label: str, answers: Sequence[str]) -> int:
    """A label's place among the answers from 1; 0 if it is not there."""
    return list(answers).index(label) + 1 if label in answers else 0
