"""The evaluate command: find out what is to be scored on what, embed, score, write it down."""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Sequence
from pathlib import Path
from typing import Any

from flukeprint.cache import Cache
from flukeprint.cells import csv_text
from flukeprint.collection import Collection, read_collection
from flukeprint.decide import Calibration
from flukeprint.embed import embed_photos
from flukeprint.errors import FlukeprintError
from flukeprint.evaluate import (
    EmbeddedTable,
    Report,
    evaluate_split,
    evaluate_without_learning,
)
from flukeprint.files import check_outside, make_folder, read_json, write_bytes, write_text
from flukeprint.model import MEASURED, Model, load_model
from flukeprint.network import Network
from flukeprint.progress import Progress, no_progress
from flukeprint.records import COMPETITION_NEW_SHARE, EVERYTHING, Split
from flukeprint.reliability import reliability_plot
from flukeprint.splits import (
    check_leaks,
    make_splits,
    other_catalogues,
    read_split,
)
from flukeprint.tables import fingerprint, read_table

RUN_MODEL = "model.fluke"
RUN_FACTS = "run.json"
RUN_SPLIT = "split.json"
FOLDS = 5  # of a model that does not say how many there were


def evaluate_target(
    target: Path,
    *,
    data: Path | None = None,
    split_path: Path | None = None,
    model_path: Path | None = None,
    out: Path | None = None,
    cache: Path | None = None,
    device: str = "auto",
    progress: Progress = no_progress,
    report: Callable[[str], object] = lambda line: None,
) -> list[Report]:
    """Score a collection, a run's exported model or a model file; see the command's help.

    Of a collection from which the default model has learned every photo, its twin is scored that
    kept some back. ``report`` is told so, and of each photo that is left out because it cannot be
    read.

    Raises:
        FlukeprintError: the target is none of the three, ``data`` is missing, ``data`` or
            ``model_path`` does not go with the target, ``out`` is not fit to write into, or a query
            was seen in the model's training.
    """
    source = source_of(target, data, model_path, out)
    model = _model_of(target, model_path)
    collection = read_collection(source, progress)
    for failure in collection.failures:
        report(failure.warning())
    if model_path is None and _is_collection(target) and _learned_all(model, collection):
        model = load_model(Path(MEASURED))
        report(
            f"the default model has learned from every photo of {source}; scored is {MEASURED}, "
            "its twin that kept some back"
        )
    if split_path is None and _learned_from(model, collection) and _is_run(target):
        split_path = target / RUN_SPLIT
    split = read_split(split_path) if split_path else own_split(model, collection)
    if not split.queries:
        raise FlukeprintError(
            f"{split_path}: this split asks about no photo; score the model on photos that it has "
            "not learned from"
        )
    check_leaks(split, collection.table, collection.twin_group)
    network = Network(model, device=device)
    # A softmax model compares with no photo: only the queries are worth the time.
    names = set(split.queries) if model.manifest.kind == "softmax" else None
    embedded = embed_collection(collection, network, Cache(cache, model.id), progress, names)
    reports = score_protocols(model, split, collection, embedded)
    if out:
        write_reports(reports, model, out, left_out=len(collection.failures))
    return reports


def score_protocols(
    model: Model,
    split: Split,
    collection: Collection,
    embedded: EmbeddedTable,
    calibration: Calibration | None = None,
) -> list[Report]:
    """Score a model on a split, and beside it on the other catalogue among the whales held out.

    A softmax model has no other catalogue: it cannot name whales that it was not taught. The first
    report of each protocol is the model's, those of no learning follow.
    """
    reports = []
    for part in _protocols(model, split, collection):
        reports.append(evaluate_split(model, part, embedded, calibration))
        reports += evaluate_without_learning(part, collection.table, collection.twin_group)
    return reports


def own_split(model: Model, collection: Collection) -> Split:
    """The split a model was trained on, remade, or an open-set split of other photos.

    Raises:
        FlukeprintError: the collection cannot be split so, has no such fold, or the split is one
            of those that only the run's folder holds: photo by photo, or of half of the whales.
    """
    recipe: dict[str, Any] = {"protocol": "open-set", "seed": 0, "settings": {}}
    if _learned_from(model, collection):
        recipe = model.manifest.split
    if _learned_all(model, collection):
        raise FlukeprintError(
            f"{collection.table.source}: this model has learned from every photo there; score it "
            f"on others, or its twin (the default's ships, too: {MEASURED})"
        )
    if recipe["protocol"] == "random" or recipe.get("whales", "all") != "all":
        raise FlukeprintError(
            f"this model's split is in its run's folder: give --split RUN/{RUN_SPLIT}"
        )
    settings = recipe["settings"]
    splits = make_splits(
        collection.table,
        collection.twin_group,
        recipe["protocol"],
        seed=recipe["seed"],
        queries=settings.get("queries", 0.1),
        new_share=settings.get("new_share", COMPETITION_NEW_SHARE),
        folds=int(settings.get("folds", FOLDS)),
    )
    fold = recipe.get("fold", settings.get("fold", 0))
    if fold not in range(len(splits)):
        raise FlukeprintError(
            f"the model was trained on fold {fold!r}; {recipe['protocol']} has {len(splits)}, "
            "the first is 0"
        )
    return splits[int(fold)]


def embed_collection(
    collection: Collection,
    network: Network,
    cache: Cache,
    progress: Progress = no_progress,
    names: Container[str] | None = None,
) -> EmbeddedTable:
    """Embed a collection's readable photos, or take them from the cache.

    ``names``, where given, are the only ones to embed.
    """
    paths = {row.name: row.path for row in collection.table.rows}
    wanted = [
        name for name in paths if name in collection.twin_group and (names is None or name in names)
    ]
    done = embed_photos(
        [paths[name] for name in wanted], network, cache, progress("embedding", len(wanted))
    )
    row_of = {wanted[place]: row for row, place in enumerate(done.places)}
    return EmbeddedTable(collection.table, done.embeddings, row_of, done.looks)


def write_reports(reports: Sequence[Report], model: Model, out: Path, *, left_out: int = 0) -> None:
    """Write ``metrics.json`` and, for the model, rows of queries, confused pairs, reliability.

    ``left_out`` is how many of the collection's photos could not be read.
    """
    make_folder(out)
    body = {
        "model": model.id,
        "photos_left_out": left_out,
        "reports": [report.summary() for report in reports],
    }
    write_text(out / "metrics.json", json.dumps(body, indent=1) + "\n")
    for report in reports:
        if report.system == "flukeprint":
            write_queries(
                report,
                out / f"queries-{report.protocol}.csv",
                out / f"confused-{report.protocol}.csv",
            )
            error = report.metrics["calibration_error"].value
            plot = reliability_plot(report.reliability, error)
            write_bytes(out / f"reliability-{report.protocol}.png", plot)


def write_queries(report: Report, queries: Path, confused: Path) -> None:
    """Write a report's rows, one a query, and the pairs of whales most often confused, as CSV."""
    _write_rows(report.queries, queries)
    pairs = [
        {"truth": true, "answer": said, "queries": often} for true, said, often in report.confused
    ]
    _write_rows(pairs, confused)


def _write_rows(rows: Sequence[dict[str, Any]], path: Path) -> None:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    cells = [[row.get(column) for column in columns] for row in rows]
    write_text(path, csv_text(columns, cells)[0])


def is_unexported_run(target: Path) -> bool:
    """Whether a target is a training run's folder without a model file in it."""
    return _is_run(target) and not (target / RUN_MODEL).is_file()


def check_keeps_queries(run: Path) -> None:
    """Raises: FlukeprintError: a run has learned from every photo."""
    split = run / RUN_SPLIT
    if split.is_file() and not read_split(split).queries:
        raise FlukeprintError(f"{run}: has learned from every photo, and kept none to be scored on")


def _is_run(target: Path) -> bool:
    return (target / RUN_FACTS).is_file()


def _learned_from(model: Model, collection: Collection) -> bool:
    return bool(model.manifest.training.get("fingerprint") == fingerprint(collection.table))


def _learned_all(model: Model, collection: Collection) -> bool:
    return _learned_from(model, collection) and model.manifest.split["protocol"] == EVERYTHING


def source_of(target: Path, data: Path | None, model_path: Path | None, out: Path | None) -> Path:
    """The collection that a target is scored on; ``out`` may be written beside it.

    Raises:
        FlukeprintError: ``data`` or ``model_path`` does not go with the target, or ``out`` is not
            fit to write into.
    """
    if _is_collection(target):
        if data is not None:
            raise FlukeprintError(f"{target}: --data goes with a model or a run to score on it")
        source = target
    else:
        if model_path is not None:
            raise FlukeprintError(
                f"{target}: --model goes with a labelled collection to score it on"
            )
        if data is None and not _is_run(target):
            load_model(target)  # where it is no model, that is what to say
            raise FlukeprintError(f"{target}: a model needs photos; name a collection with --data")
        source = data or Path(str(read_json(target / RUN_FACTS).get("data")))
    if out:
        check_outside(out, source, [row.path for row in read_table(source).rows])
    return source


def _is_collection(target: Path) -> bool:
    return not _is_run(target) and (target.is_dir() or target.suffix.lower() == ".csv")


def _model_of(target: Path, model_path: Path | None) -> Model:
    if is_unexported_run(target):
        raise FlukeprintError(
            f"{target}: not exported yet; flukeprint export {target} --out {target / RUN_MODEL}"
        )
    if _is_collection(target):
        return load_model(model_path)
    return load_model(target / RUN_MODEL if _is_run(target) else target)


def _protocols(model: Model, split: Split, collection: Collection) -> list[Split]:
    """The split, and beside it the other catalogue among the whales it keeps from training."""
    if model.manifest.kind == "softmax":
        return [split]
    return [split, *other_catalogues(split, collection.table, collection.twin_group)]
