"""The bench of the papers' systems: train each, score all the same way, write one table."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

from flukeprint.collection import Collection, read_collection
from flukeprint.errors import FlukeprintError
from flukeprint.evaluate import Report, evaluate_split, evaluate_without_learning
from flukeprint.files import check_outside, read_json
from flukeprint.model import load_model
from flukeprint.network import Network
from flukeprint.progress import Progress, no_progress
from flukeprint.training.bench import plan, score
from flukeprint.training.bench.gather import rows_of
from flukeprint.training.bench.kept import (
    DEFAULT,
    SCORES,
    WITHOUT_LEARNING,
    Kept,
    keep,
    keep_report,
)
from flukeprint.training.bench.results import write_results
from flukeprint.training.bench.rows import Row
from flukeprint.training.config import TrainConfig
from flukeprint.training.curves import read_log
from flukeprint.training.export import export
from flukeprint.training.recipes import all_recipes, recipe
from flukeprint.training.train import split_for_training, train

Say = Callable[[str], object]


class Bench:
    """A bench's folder and what its runs share."""

    def __init__(
        self,
        data: Path,
        out: Path,
        *,
        device: str = "auto",
        progress: Progress = no_progress,
        report: Say = lambda line: None,
    ) -> None:
        check_outside(out, data)
        self.data, self.out, self.device = data, out, device
        self.progress, self.report = progress, report
        self._collection: Collection | None = None

    @property
    def collection(self) -> Collection:
        """The labelled photos, read once."""
        if self._collection is None:
            self._collection = read_collection(self.data, self.progress)
        return self._collection

    def do(self, job: plan.Job) -> None:
        """Train, export and score one run, unless that is done; a run that was cut goes on."""
        folder = job.folder
        if (folder.path / SCORES).is_file():
            return
        if not (folder.path / score.MODEL).is_file():
            self.report(f"{job.system}, {job.stage}: {job.config.epochs} epochs")
            self._learn(job)
        self._score(job)
        if folder.checkpoints.is_dir():  # hundreds of megabytes, and the run is over
            shutil.rmtree(folder.checkpoints)

    def _learn(self, job: plan.Job) -> None:
        train(
            self.data,
            job.folder.path,
            job.config,
            device=self.device,
            progress=self.progress,
            report=self.report,
            collection=self.collection,
        )
        if job.stage != plan.PRETRAINED:
            export(
                job.folder.path,
                job.folder.path / score.MODEL,
                progress=self.progress,
                collection=self.collection,
            )

    def _score(self, job: plan.Job) -> None:
        folder, scored = job.folder, None
        if job.stage != plan.PRETRAINED:
            report = self._report_of(job)
            keep_report(folder.path, report)
            scored = score.scored_report(report)
        seconds = median(float(entry["seconds"]) for entry in read_log(folder))
        parameters = int(read_json(folder.result)["parameters"])
        keep(folder.path, Kept(scored, job.config.epochs, parameters, round(seconds, 2)))

    def _report_of(self, job: plan.Job) -> Report:
        if job.stage == plan.PAPER:
            return score.paper_report(job.folder, job.config, self.collection, self.progress)
        return score.open_set_report(job.folder, self.collection, self.progress)

    def do_default(self) -> None:
        """Score the shipped model on the recipes' open-set split, if that is its own."""
        path = self.out / DEFAULT
        if (path / SCORES).is_file():
            return
        outer, _ = split_for_training(self.collection, TrainConfig())
        network = Network(load_model())
        embedded = score.embedded_for(network, outer, self.collection, self.progress)
        try:
            report = evaluate_split(network.model, outer, embedded)
        except FlukeprintError as error:  # it has learned from some of these queries
            self.report(f"{DEFAULT}: left out: {error}")
            return
        keep_report(path, report)
        keep(path, Kept(score.scored_report(report)))

    def do_without_learning(self) -> None:
        """Score the answers that need no learning, on both protocols."""
        if (self.out / WITHOUT_LEARNING).is_dir():
            return
        config = replace(TrainConfig(), protocol="random", query_share=plan.PAPER_QUERIES)
        random, _ = split_for_training(self.collection, config)
        outer, _ = split_for_training(self.collection, TrainConfig())
        papers = score.paper_without_learning(random, self.collection)
        for report in evaluate_without_learning(
            outer, self.collection.table, self.collection.twin_group
        ):
            path = self.out / WITHOUT_LEARNING / report.system
            keep_report(path, report)
            keep(
                path,
                Kept(
                    score.scored_report(report), papers=score.scored_report(papers[report.system])
                ),
            )


def bench_papers(
    data: Path,
    out: Path,
    *,
    only: Sequence[str] = (),
    epochs: Sequence[str] = (),
    weights: Sequence[str] = (),
    pretrained: bool = False,
    device: str = "auto",
    progress: Progress = no_progress,
    report: Say = lambda line: None,
) -> tuple[Row, ...]:
    """Train and score the papers' systems into ``out``; what is done is not done again.

    ``only`` names recipes (or files of one's own), ``epochs`` and ``weights`` are as the command
    takes them, ``pretrained`` fetches published weights. Writes the table of everything that
    ``out`` holds by then into ``out/results``: see
    :func:`flukeprint.training.bench.results.write_results`.

    Raises:
        FlukeprintError: an argument, the data or a folder is not fit for it.
    """
    every = all_recipes()
    named = [recipe(name) for name in only] or list(every)
    known = [one.name for one in (*every, *named)]
    everyone, single = plan.read_epochs(epochs, known)
    files = plan.read_weights(weights, known)
    bench = Bench(data, out, device=device, progress=progress, report=report)
    bench.do_without_learning()
    bench.do_default()
    for one in named:
        for system in plan.systems_of(one):
            config = plan.scaled(system.config, single.get(one.name, everyone))
            if one.name in files:
                config = replace(config, pretrained=False, weights=files[one.name])
            for job in plan.jobs_of(system, out, config, fetch=pretrained):
                bench.do(job)
    others = [one for one in named if one.name not in {two.name for two in every}]
    rows = rows_of([*every, *others], data, out)
    write_results(rows, out)
    return rows
