"""The bench of the papers' systems: train each, score all the same way, write one table."""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import onnx

from flukeprint.collection import Collection, read_collection
from flukeprint.errors import FlukeprintError
from flukeprint.evaluate import Report, evaluate_split, evaluate_without_learning
from flukeprint.files import check_outside, make_folder, read_json, write_bytes, write_text
from flukeprint.model import MEASURED, load_model
from flukeprint.network import Network
from flukeprint.progress import Progress, no_progress
from flukeprint.scoring import RUN_MODEL
from flukeprint.tables import fingerprint, read_table
from flukeprint.training.bench import plan, score
from flukeprint.training.bench.gather import rows_of
from flukeprint.training.bench.kept import (
    OURS,
    SCORES,
    WITHOUT_LEARNING,
    Kept,
    keep,
    keep_report,
)
from flukeprint.training.bench.results import RESULTS, write_results
from flukeprint.training.bench.rows import Row
from flukeprint.training.config import TrainConfig
from flukeprint.training.curves import read_log
from flukeprint.training.export import export
from flukeprint.training.recipes import (
    PAPERS,
    Recipe,
    all_recipes,
    read_recipe,
    recipe,
    recipes_folder,
)
from flukeprint.training.report import embedded_for, report_of
from flukeprint.training.sides import split_for_training
from flukeprint.training.train import train

Say = Callable[[str], object]

BENCH, OWN_RECIPES = "bench.json", "recipes"

RESERVED = (OURS, WITHOUT_LEARNING, RESULTS, OWN_RECIPES)
"""Folders of a bench that are no system's."""
_ANSWERS_WITHOUT = 3  # that need no learning


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

    def open(self, own: Sequence[Recipe]) -> None:
        """Begin the bench, or go on with one of the same photos; remember recipes of one's own.

        Raises:
            FlukeprintError: the folder holds the bench of another collection.
        """
        facts = {"fingerprint": fingerprint(read_table(self.data))}
        path = make_folder(self.out) / BENCH
        if not path.is_file():
            write_text(path, json.dumps(facts) + "\n")
        elif read_json(path) != facts:
            raise FlukeprintError(
                f"{self.out}: holds a bench of other photos or labels; name another folder"
            )
        for one in own:
            make_folder(self.out / OWN_RECIPES)
            write_bytes(self.out / OWN_RECIPES / one.path.name, one.path.read_bytes())

    def write(self, failed: Mapping[str, str]) -> tuple[Row, ...]:
        """Write the table of everything that the folder holds by now."""
        others = [read_recipe(path) for path in sorted((self.out / OWN_RECIPES).glob("*.toml"))]
        rows = rows_of([*all_recipes(), *others], self.data, self.out, failed)
        write_results(rows, self.out)
        return rows

    @property
    def collection(self) -> Collection:
        """The labelled photos, read once."""
        if self._collection is None:
            self._collection = read_collection(self.data, self.progress)
        return self._collection

    def do(self, job: plan.Job) -> None:
        """Train, export and score one run, unless that is done; a run that was cut goes on."""
        folder = job.folder
        if folder.config.is_file() and not folder.is_of(job.config):
            raise FlukeprintError(
                f"{folder.path}: holds a run of other settings; delete it, or name another folder"
            )
        if not (folder.path / SCORES).is_file():
            self.report(f"{job.system}, {job.stage}: {job.config.epochs} epochs")
            if not (folder.path / RUN_MODEL).is_file():
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
                job.folder.path / RUN_MODEL,
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
        result = read_json(folder.result)
        keep(
            folder.path,
            Kept(scored, int(result["epochs"]), int(result["parameters"]), round(seconds, 2)),
        )

    def _report_of(self, job: plan.Job) -> Report:
        if job.stage == plan.PAPER:
            return score.paper_report(job.folder, job.config, self.collection, self.progress)
        return report_of(job.folder, self.collection, self.progress)

    def do_ours(self) -> None:
        """Score the shipped model on the recipes' open-set split, if that is its own.

        It is the default's twin: the default itself has learned from these queries.
        """
        path = self.out / OURS
        if (path / SCORES).is_file():
            return
        outer, _ = split_for_training(self.collection, TrainConfig())
        network = Network(load_model(Path(MEASURED)))
        embedded = embedded_for(network, outer, self.collection, self.progress)
        try:
            report = evaluate_split(network.model, outer, embedded)
        except FlukeprintError as error:  # it has learned from some of these queries
            self.report(f"{OURS}: left out: {error}")
            return
        keep_report(path, report)
        scored, size = score.scored_report(report), _parameters(network.model.embedder)
        keep(path, Kept(scored, parameters=size, name="flukeprint (measured)"))

    def do_without_learning(self) -> None:
        """Score the answers that need no learning, on both protocols."""
        if len(list((self.out / WITHOUT_LEARNING).glob(f"*/{SCORES}"))) == _ANSWERS_WITHOUT:
            return
        config = replace(TrainConfig(), protocol="random", query_share=plan.PAPER_QUERIES)
        random, _ = split_for_training(self.collection, config)
        outer, _ = split_for_training(self.collection, TrainConfig())
        papers = score.paper_without_learning(random, self.collection)
        for report in evaluate_without_learning(
            outer, self.collection.table, self.collection.twin_group
        ):
            name = report.system
            path = self.out / WITHOUT_LEARNING / re.sub(r"\W+", "-", name)
            keep_report(path, report)
            own, theirs = score.scored_report(report), score.scored_report(papers[name])
            keep(path, Kept(own, papers=theirs, name=name))


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
    takes them, ``pretrained`` fetches published weights. After each system the table of everything
    that ``out`` holds is written into ``out/results``: see
    :func:`flukeprint.training.bench.results.write_results`. A system that cannot be trained is
    left out, its row's note begins with ``failed``, and the others go on.

    Raises:
        FlukeprintError: an argument, the data or the folder is not fit for it.
    """
    named = [_own(recipe(name)) for name in only] or list(all_recipes())
    if len({one.name for one in named}) < len(named):
        raise FlukeprintError(
            "--only: two recipes of one name would share a folder; name each once"
        )
    wanted = plan.wanted_systems(named, epochs, weights)  # refused before hours of training
    bench = Bench(data, out, device=device, progress=progress, report=report)
    bench.open([one for one in named if _is_own(one)])
    bench.do_without_learning()
    bench.do_ours()
    failed: dict[str, str] = {}
    rows = bench.write(failed)
    for system, config in wanted:
        try:
            for job in plan.jobs_of(system, out, config, fetch=pretrained):
                bench.do(job)
        except FlukeprintError as error:
            report(f"{system.name}: {error}")
            failed[system.name] = str(error)
        rows = bench.write(failed)
    return rows


def _parameters(network: bytes) -> int:
    """How many numbers an exported network holds."""
    weights = onnx.load_model_from_string(network).graph.initializer
    return sum(math.prod(weight.dims) for weight in weights)


def _is_own(recipe: Recipe) -> bool:
    """Whether a recipe is a file of one's own, none of those that ship."""
    return recipe.path.resolve().parent != recipes_folder()


def _own(chosen: Recipe) -> Recipe:
    """The recipe, unless it is a file of one's own that goes by a name that is given already."""
    if chosen.name in (*PAPERS, *RESERVED) and _is_own(chosen):
        raise FlukeprintError(
            f"{chosen.path}: the bench itself uses the name {chosen.name}; name the file otherwise"
        )
    return chosen
