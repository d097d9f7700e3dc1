"""K-fold cross-validation: every whale with two photos or more is trained on in every fold.

The Stanford paper's wish (section 5.2): "With our 80/20 test/dev split, 10% of the whale classes
weren't even trained on."
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flukeprint import metrics
from flukeprint.collection import Collection, read_collection
from flukeprint.errors import FlukeprintError
from flukeprint.evaluate import Report, answers_of
from flukeprint.files import check_outside, make_folder, read_json, write_text
from flukeprint.progress import Progress, no_progress
from flukeprint.records import ANSWERS, NEW_WHALE, Interval, whale_apart
from flukeprint.scoring import RUN_MODEL
from flukeprint.tables import fingerprint
from flukeprint.training.config import TrainConfig
from flukeprint.training.export import export
from flukeprint.training.report import report_of
from flukeprint.training.runfolder import RunFolder
from flukeprint.training.train import train


def cross_validate(
    data: Path,
    out: Path,
    config: TrainConfig,
    folds: int,
    *,
    device: str = "auto",
    progress: Progress = no_progress,
    report: Callable[[str], object] = lambda line: None,
) -> dict[str, Any]:
    """Train each fold into ``out/fold-0``, ... and score it on its own queries.

    Returns what ``out/folds.json`` holds: each fold's scores, and those of all queries together
    with 95 % intervals. What is done is not done again.

    Raises:
        FlukeprintError: the data, the config or a folder is not fit for it.
    """
    check_outside(out, data)
    collection = read_collection(data, progress)
    make_folder(out)
    reports = []
    for fold in range(folds):
        folder = RunFolder(out / f"fold-{fold}")
        part = replace(config, protocol="kfold", fold=fold, folds=folds)
        if (folder.path / RUN_MODEL).is_file():
            _check_same(folder, part, collection)
        else:
            report(f"fold {fold + 1} of {folds}")
            train(
                data,
                folder.path,
                part,
                device=device,
                progress=progress,
                report=report,
                collection=collection,
            )
            export(folder.path, folder.path / RUN_MODEL, progress=progress, collection=collection)
        reports.append(report_of(folder, collection, progress))
    result = {
        "folds": [_plain(pooled([part])) for part in reports],
        "together": _plain(pooled(reports)),
        "queries": sum(len(part.queries) for part in reports),
    }
    write_text(out / "folds.json", json.dumps(result, indent=1) + "\n")
    return result


def _check_same(folder: RunFolder, config: TrainConfig, collection: Collection) -> None:
    """Make sure that a fold that is done is one of these photos, settings and number of folds."""
    if not folder.is_of(config) or read_json(folder.facts).get("fingerprint") != fingerprint(
        collection.table
    ):
        raise FlukeprintError(
            f"{folder.path}: holds a fold of other photos, settings or folds; name another folder "
            "for --out"
        )


def pooled(reports: Sequence[Report]) -> dict[str, Interval]:
    """MAP@5 and top-1 among whales of all queries together, whales resampled."""
    rows = [row for report in reports for row in report.queries]
    reciprocal = metrics.reciprocal(np.array([row["place"] for row in rows]), ANSWERS)
    whales = [[name for name in answers_of(row) if name != NEW_WHALE] for row in rows]
    first = np.array(
        [bool(names) and names[0] == row["truth"] for names, row in zip(whales, rows, strict=True)]
    ).astype(np.float64)
    known = np.array([row["truth"] != NEW_WHALE for row in rows])

    def statistics(weights: NDArray[np.float64]) -> dict[str, float]:
        return {
            "map5": metrics.weighted_mean(reciprocal, weights),
            "top1_known": metrics.weighted_mean(first, weights * known),
        }

    clusters = [whale_apart(row["truth"], row["photo"]) for row in rows]
    return metrics.bootstrap(statistics, clusters)


def folds_text(result: dict[str, Any]) -> str:
    """A line a fold and one for all of them."""
    lines = []
    for name, part in [*enumerate(result["folds"]), ("all folds", result["together"])]:
        said = ", ".join(
            f"{title} {part[key]['value']:.3f} ({part[key]['low']:.3f}-{part[key]['high']:.3f})"
            for title, key in (("MAP@5", "map5"), ("top-1", "top1_known"))
        )
        lines.append(f"{name if isinstance(name, str) else f'fold {name}'}: {said}")
    return "\n".join(lines)


def _plain(found: dict[str, Interval]) -> dict[str, Any]:
    return {name: asdict(interval) for name, interval in found.items()}
