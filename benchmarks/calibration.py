"""How far probabilities are from shares, pooled over several lotteries of training and queries.

    python benchmarks/calibration.py DATA --out FOLDER [--runs RUNS] [--seeds 0 1 2] [--set KEY=VAL]

One split's queries are too few to tell a calibration error of 0.03 from chance. For each seed a
network is trained in RUNS/seed-N (``runs/calibration`` unless named) on an open-set split of its
own, a fifth of the photos its queries, and exported as any run is, its calibration fitted to photos
that validate. Every query is then asked of the network that has not seen it. The networks are
smaller than the one that ships, so that this takes about an hour on two cores; with less training
(16 epochs) they name hardly a whale, and the figure says nothing of one that does. Runs that are
done are not done again.

Writes FOLDER/calibration.json, calibration.md and a reliability plot for each protocol.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from ending import plain_errors
from flukeprint import metrics
from flukeprint.collection import read_collection
from flukeprint.console_progress import progress_bar
from flukeprint.evaluate import Report
from flukeprint.files import check_outside, make_folder, write_bytes, write_text
from flukeprint.outputs import interval_text
from flukeprint.records import Interval, whale_apart
from flukeprint.reliability import reliability_plot
from flukeprint.scoring import RUN_MODEL, evaluate_target
from flukeprint.training.config import TrainConfig, read_config
from flukeprint.training.export import export
from flukeprint.training.runfolder import RunFolder
from flukeprint.training.train import train
from markdown_table import table_text

SETTINGS = (
    *("epochs=40", "height_px=64", "width_px=64", "early_share=0", "query_share=0.2"),
    *("validate_every=20", "localiser_steps=2000"),
)


def asked(data: Path, run: Path, config: TrainConfig) -> list[Report]:
    """Train, export and score one run; what is done already is only scored."""
    with progress_bar() as progress:
        # A run of other settings is no such run; train says so and what to do.
        if not ((run / RUN_MODEL).is_file() and RunFolder(run).is_of(config)):
            train(data, run, config, progress=progress)
            collection = read_collection(data, progress)
            export(run, run / RUN_MODEL, progress=progress, collection=collection)
        reports = evaluate_target(run, progress=progress)
    return [report for report in reports if report.system == "flukeprint"]


def pooled(reports: Sequence[Report]) -> dict[str, Any]:
    """The scores of all reports' queries together."""
    rows = [row for report in reports for row in report.queries]
    said = np.array([row["probability"] for row in rows])
    right = np.array([float(row["place"] == 1) for row in rows])
    clusters = [whale_apart(row["truth"], row["photo"]) for row in rows]
    error = metrics.bootstrap(
        lambda often: {"error": metrics.calibration_error(said, right, weights=often)}, clusters
    )["error"]
    bins = metrics.reliability(said, right)
    known = sum(report.queries_known for report in reports)
    missed: dict[str, float] = {}
    for report in reports:
        for part in report.missed:
            rate = str(part["miss_rate"])
            missed[rate] = missed.get(rate, 0.0) + part["missed"] * report.queries_known / known
    return {
        "queries": len(rows),
        "known": known,
        "first_answers_right": float(right.mean()),
        "calibration_error": asdict(error),
        "by_chance": metrics.mean_over((part.answers, part.by_chance) for part in bins),
        "missed": missed,
        "bins": [asdict(part) for part in bins],
    }


def row_of(protocol: str, found: dict[str, Any]) -> dict[str, str]:
    """What the table says of a protocol."""
    return {
        "protocol": protocol,
        "queries": f"{found['queries']:,}",
        "first answers right": f"{found['first_answers_right']:.3f}",
        "calibration error": interval_text(Interval(**found["calibration_error"])),
        "by chance alone": f"{found['by_chance']:.3f}",
        **{
            f"missed, asked {float(rate):.0%}": f"{missed:.1%}"
            for rate, missed in found["missed"].items()
        },
    }


def main() -> None:
    """Train what is missing, pool, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--runs", type=Path, default=Path("runs/calibration"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", dest="settings", action="append", default=[])
    options = parser.parse_args()
    with plain_errors(parser):
        check_outside(options.out, options.data)
        config = read_config(None, [*SETTINGS, *options.settings])
        make_folder(options.runs)
        reports = [
            report
            for seed in options.seeds
            for report in asked(
                options.data, options.runs / f"seed-{seed}", replace(config, seed=seed)
            )
        ]
        found = {
            protocol: pooled([report for report in reports if report.protocol == protocol])
            for protocol in dict.fromkeys(report.protocol for report in reports)
        }
        make_folder(options.out)
        body = {"seeds": options.seeds, "settings": [*SETTINGS, *options.settings], **found}
        write_text(options.out / "calibration.json", json.dumps(body, indent=1) + "\n")
        table = table_text([row_of(protocol, one) for protocol, one in found.items()])
        write_text(options.out / "calibration.md", table)
        for protocol, one in found.items():
            plot = reliability_plot(one["bins"], one["calibration_error"]["value"])
            write_bytes(options.out / f"reliability-{protocol}.png", plot)
        print(table, end="")


if __name__ == "__main__":
    main()
