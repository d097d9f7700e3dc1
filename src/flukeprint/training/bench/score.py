"""Score a finished run: by flukeprint's measure on the open set, or as its paper's authors did."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flukeprint import metrics
from flukeprint.cache import Cache
from flukeprint.collection import Collection
from flukeprint.evaluate import ANSWERS, EmbeddedTable, Report, evaluate_split, gallery_of
from flukeprint.identify import likeness_of
from flukeprint.model import Model, load_model
from flukeprint.network import Network
from flukeprint.progress import Progress, no_progress
from flukeprint.rank import GalleryIndex
from flukeprint.records import NEW_WHALE, Split, Table
from flukeprint.scoring import embed_collection
from flukeprint.splits import read_split
from flukeprint.submission import fillers
from flukeprint.training.bench.rows import Scored, collapse_share
from flukeprint.training.config import TrainConfig
from flukeprint.training.runfolder import RunFolder

MODEL = "model.fluke"


def open_set_report(
    folder: RunFolder, collection: Collection, progress: Progress = no_progress
) -> Report:
    """A run's exported model on its own split, twins held together, by the model's calibration."""
    network = Network(load_model(folder.path / MODEL))
    split = read_split(folder.split)
    return evaluate_split(network.model, split, embedded_for(network, split, collection, progress))


def embedded_for(
    network: Network, split: Split, collection: Collection, progress: Progress = no_progress
) -> EmbeddedTable:
    """The embeddings that scoring a split takes; a classifier's gallery takes none."""
    model = network.model
    gallery = () if model.manifest.kind == "softmax" else split.gallery
    names = {*split.queries, *gallery}
    return embed_collection(collection, network, Cache(None, model.id), progress, names=names)


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


def answers_of(row: dict[str, Any]) -> list[str]:
    """The up to five answers in a report's row, best first."""
    given = (row.get(f"answer_{k + 1}") for k in range(ANSWERS))
    return [answer for answer in given if answer]


def paper_scored(
    folder: RunFolder,
    config: TrainConfig,
    collection: Collection,
    progress: Progress = no_progress,
) -> Scored:
    """A run on its random split, with ``new_whale`` treated as its paper's authors did.

    Labels are true as written: a whale that the other 80 % lack cannot be answered and is a miss.
    UCSD: ``new_whale`` is a label like others. Stanford: it is in neither part, and always the
    first of the five answers; top-1 and top-5 are those of the four whales.
    """
    network = Network(load_model(folder.path / MODEL))
    model, split = network.model, read_split(folder.split)
    embedded = embedded_for(network, split, collection, progress)
    left_out = config.new_whale == "left-out"
    names, truth, clusters = paper_queries(split, collection, left_out=left_out)
    vectors = embedded.embeddings.vectors[[embedded.row_of[name] for name in names]]
    index = gallery_of(split, embedded, model.manifest)
    return score_answers(paper_answers(vectors, index, model, left_out=left_out), truth, clusters)


def paper_queries(
    split: Split, collection: Collection, *, left_out: bool
) -> tuple[list[str], list[str], list[str]]:
    """A random split's queries that can be read: names, labels as written, whales to resample."""
    label = {row.name: row.individual for row in collection.table.rows}
    names = [
        name
        for name in split.queries
        if name in collection.twin_group and not (left_out and label[name] == NEW_WHALE)
    ]
    truth = [label[name] for name in names]
    clusters = [
        name if true == NEW_WHALE else true for name, true in zip(names, truth, strict=True)
    ]
    return names, truth, clusters


def paper_answers(
    vectors: NDArray[np.float32], index: GalleryIndex, model: Model, *, left_out: bool
) -> list[list[str]]:
    """The five labels for each of Q network outputs: likeliest classes, or nearest neighbours."""
    labels = (*index.individuals, NEW_WHALE)
    if model.manifest.kind == "softmax":
        likeness = likeness_of(vectors, index, model.manifest)
        values = np.column_stack([likeness.whales, likeness.new])
    else:
        values = _nearest(vectors, index)
    if left_out:
        values[:, -1] = np.inf
    order = np.argsort(-values, axis=1, kind="stable")[:, :ANSWERS]
    return [[labels[code] for code in row] for row in order]


def _nearest(vectors: NDArray[np.float32], index: GalleryIndex) -> NDArray[np.float32]:
    """Each query's similarity to each whale's nearest photo, (Q, W + 1); new_whale last."""
    similar = vectors @ index.vectors.T
    first = int(np.searchsorted(index.whale_of, 0))
    new = similar[:, :first].max(axis=1, initial=-np.inf)
    starts = np.searchsorted(index.whale_of, np.arange(len(index.individuals)))
    return np.column_stack([np.maximum.reduceat(similar, starts, axis=1), new])


def paper_without_learning(split: Split, collection: Collection) -> dict[str, Scored]:
    """Answers that need no learning on a random split, where twins do lie on both sides."""
    names, truth, clusters = paper_queries(split, collection, left_out=False)
    side = set(split.gallery)
    rows = [row for row in collection.table.rows if row.name in side]
    frequent = fillers(Table(collection.table.source, tuple(rows)))
    twin, labels_of_twins = collection.twin_group, defaultdict(list)
    for row in rows:
        if row.name in twin:
            labels_of_twins[twin[row.name]].append(row.individual)
    systems = {
        "new_whale first": [[NEW_WHALE, *frequent]] * len(names),
        "most frequent whales": [[*frequent[: ANSWERS - 1], NEW_WHALE]] * len(names),
        "twins' labels, new_whale": [
            [*labels_of_twins[twin[name]], NEW_WHALE, *frequent] for name in names
        ],
    }
    return {
        system: score_answers(
            [list(dict.fromkeys(row))[:ANSWERS] for row in answers], truth, clusters
        )
        for system, answers in systems.items()
    }


def score_answers(
    answers: Sequence[Sequence[str]], truth: Sequence[str], clusters: Sequence[str]
) -> Scored:
    """Scores of Q queries' answers against labels as written, whichever labels they are."""
    codes = {
        label: code
        for code, label in enumerate(sorted({*truth, *(label for row in answers for label in row)}))
    }
    true = np.array([codes[label] for label in truth], dtype=np.int64)
    known = np.array([label != NEW_WHALE for label in truth])
    given = np.array([[codes[label] for label in row] for row in answers], dtype=np.int64)
    places = metrics.places_of(given, true)
    whales = [[label for label in row if label != NEW_WHALE] for row in answers]
    among = np.array(
        [
            row.index(label) + 1 if label in row else 0
            for row, label in zip(whales, truth, strict=True)
        ]
    )
    first = np.array([codes[row[0]] if row else -1 for row in whales], dtype=np.int64)

    def statistics(weights: NDArray[np.float64]) -> dict[str, float]:
        on_known = weights * known
        return {
            "map5": metrics.weighted_mean(metrics.reciprocal(places, ANSWERS), weights),
            "top1": metrics.weighted_mean(metrics.within(among, 1), on_known),
            "top5": metrics.weighted_mean(metrics.within(among, ANSWERS), on_known),
            "f1_macro": metrics.precision_recall_f1(true, first, on_known)["f1_macro"],
        }

    found = metrics.bootstrap(statistics, clusters)
    return Scored(**found, collapse=collapse_share(answers), queries=len(truth))
