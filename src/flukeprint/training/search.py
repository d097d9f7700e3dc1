"""Search for a recipe's settings: many short runs, the best validation score wins.

Each trial is a training run of its own, scored on the validation split that lies within the
training side; the queries that are kept for the end are never looked at. What a trial tries depends
on the seed, its number and the trials before it, so a search that was killed and goes on is the
search that was never stopped.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from flukeprint.collection import read_collection
from flukeprint.errors import Diverged, FlukeprintError
from flukeprint.files import check_outside, read_json, write_bytes, write_text
from flukeprint.plotting import CORAL, QUIET, SEA, png_of
from flukeprint.progress import Progress, no_progress
from flukeprint.records import EVERYTHING
from flukeprint.tables import fingerprint, read_table
from flukeprint.training.config import TrainConfig, config_text, with_epochs
from flukeprint.training.device import find_device
from flukeprint.training.runfolder import RunFolder
from flukeprint.training.spaces import SPACES, Span
from flukeprint.training.study import Study
from flukeprint.training.train import train

Report = Callable[[str], object]


@dataclass(frozen=True, slots=True)
class SearchFolder:
    """The files of one search; trial k's run is in ``trial-00k``."""

    path: Path

    @property
    def facts(self) -> Path:
        """What is searched, and on what, JSON; with it the search is begun."""
        return self.path / "search.json"

    @property
    def study(self) -> Path:
        """Optuna's journal: what every other file here is made from."""
        return self.path / "study.jsonl"

    @property
    def log(self) -> Path:
        """One JSON line a finished trial."""
        return self.path / "search.jsonl"

    @property
    def plot(self) -> Path:
        """The scores over each searched setting."""
        return self.path / "search.png"

    @property
    def best(self) -> Path:
        """The whole config with the best trial's values, TOML."""
        return self.path / "best.toml"

    def trial(self, number: int) -> Path:
        """The run folder of a trial."""
        return self.path / f"trial-{number:03d}"

    def finder(self) -> Path | None:
        """The first trial's fluke finder, once there is one."""
        localiser = RunFolder(self.trial(0)).localiser
        return localiser if localiser.is_file() else None

    def open(self, facts: dict[str, Any]) -> None:
        """Begin the search, or go on with the one that was begun with the same facts.

        Raises:
            FlukeprintError: the folder holds another search or something else.
        """
        entries = list(self.path.iterdir())
        left = [entry for entry in entries if _HALF_WRITTEN.fullmatch(entry.name)]
        if self.facts.exists():
            self._check_same(facts)
        elif len(left) < len(entries):
            raise FlukeprintError(f"{self.path}: not empty and not a search; name another folder")
        for entry in left:
            entry.unlink(missing_ok=True)
        if not self.facts.exists():
            write_text(self.facts, json.dumps(facts, indent=1) + "\n")

    def _check_same(self, facts: dict[str, Any]) -> None:
        begun, now = read_json(self.facts), json.loads(json.dumps(facts))
        for key in ("what", "epochs", "fingerprint"):
            if begun.get(key) != now[key]:
                raise FlukeprintError(
                    f"{self.path}: this search was begun with {key} {begun.get(key)!r}, now it is "
                    f"{now[key]!r}; go on as it was begun or name another folder for --out"
                )
        if any(begun.get(key) != now[key] for key in ("config", "spans")):
            raise FlukeprintError(
                f"{self.path}: holds a search with another config; name another folder for --out"
            )


# What a kill leaves of a file being written, and of the journal's lock: ours is the folder's own.
_HALF_WRITTEN = re.compile(
    r"\.(search\.jsonl?|search\.png|best\.toml|study\.jsonl)\.[a-z0-9_]{8}|study\.jsonl\.lock.*"
)


def search(
    data: Path,
    out: Path,
    config: TrainConfig,
    *,
    what: str,
    trials: int = 12,
    epochs: int | None = None,
    device: str = "auto",
    progress: Progress = no_progress,
    report: Report = lambda line: None,
) -> dict[str, Any]:
    """Try settings until the folder ``out`` holds so many trials; one that was cut goes on.

    ``epochs`` shortens the trials; ``best.toml`` keeps the config's own. Returns the best trial:
    ``number``, ``settings`` and ``value``, its MAP@5 on the validation split, with how many
    ``trials`` are finished and how many of them ``failed``.

    Raises:
        FlukeprintError: the data, the config or the folder is not fit for it, or no trial scored.
    """
    if what not in SPACES:
        raise FlukeprintError(f"--what {what}: choose one of {', '.join(SPACES)}")
    if config.protocol == EVERYTHING:
        raise FlukeprintError(
            f"a search wants photos to validate with; protocol {EVERYTHING} keeps none"
        )
    spans = SPACES[what](config)
    short = with_epochs(config, epochs)
    check_outside(out, data)
    find_device(device)  # a wrong one is refused before the folder is taken
    facts = {
        "what": what,
        "epochs": short.epochs,
        "spans": {name: asdict(span) for name, span in spans.items()},
        "config": asdict(config),
        "data": str(data.resolve()),
        "fingerprint": fingerprint(read_table(data)),
        "optuna": optuna.__version__,
    }
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # what there is to say goes to report
    folder = SearchFolder(out)
    with RunFolder(out).locked():
        folder.open(facts)
        study = Study(folder.study, spans, config.seed)
        read = cache(partial(read_collection, data, progress))  # not where all trials are done
        begin = partial(train, data, device=device, progress=progress)
        for number in range(trials):
            trial = study.take_up(number)
            if trial.state.is_finished():
                continue
            named = ", ".join(f"{name} {value:.4g}" for name, value in trial.params.items())
            run, tried = folder.trial(number), replace(short, **trial.params)
            report(f"{run.name} of {trials}: {named}")
            # All trials have one split and one finder: only how the network learns differs.
            training = partial(begin, collection=read(), finder=folder.finder())
            value, reason, seconds = _run(training, run, tried, report)
            study.finish(number, value, reason, seconds=seconds)
            _write_results(folder, study.finished(), spans, config, short.epochs)
        finished = study.finished()
        _write_results(folder, finished, spans, config, short.epochs)  # a kill may have come before
    return {"what": what, **_found(folder, finished)}


def _found(folder: SearchFolder, finished: list[FrozenTrial]) -> dict[str, Any]:
    """What a search found. See :func:`search`."""
    best = _best(finished)
    if best is None:
        raise FlukeprintError(
            f"{folder.log}: no trial ended with a score; search around other settings into another "
            "folder"
        )
    return {
        "number": best.number,
        "settings": best.params,
        "value": best.value,
        "trials": len(finished),
        "failed": sum(trial.state != TrialState.COMPLETE for trial in finished),
    }


def _run(
    training: Callable[..., dict[str, Any]], out: Path, config: TrainConfig, report: Report
) -> tuple[float | None, str, float]:
    """Train one trial: its validation MAP@5, or None and why there is none; and its seconds."""

    def tell(line: str) -> object:
        return report(f"{out.name}: {line}")

    started = time.monotonic()
    value, reason = None, ""
    try:
        value = float(training(out, config, report=tell)["map5"])
    except Diverged as error:  # any other error, a full disk say, would stop every trial alike
        reason = " ".join(str(error).split())
    tell(f"failed: {reason}" if value is None else f"validation MAP@5 {value:.4f}")
    return value, reason, round(time.monotonic() - started, 2)


def _best(finished: list[FrozenTrial]) -> FrozenTrial | None:
    """The trial that scored best, the first of several."""
    scored = [trial for trial in finished if trial.state == TrialState.COMPLETE]
    return max(scored, key=lambda trial: float(trial.value or 0.0), default=None)


def _write_results(
    folder: SearchFolder,
    finished: list[FrozenTrial],
    spans: dict[str, Span],
    config: TrainConfig,
    epochs: int,
) -> None:
    """Write the log, the plot and the best config anew from the study's finished trials."""
    lines = [json.dumps(_line(trial, epochs)) + "\n" for trial in finished]
    write_text(folder.log, "".join(lines))
    best = _best(finished)
    if best is not None:
        write_text(folder.best, config_text(replace(config, **best.params)))
        _draw(folder.plot, finished, best, spans)


def _line(trial: FrozenTrial, epochs: int) -> dict[str, Any]:
    scored = trial.state == TrialState.COMPLETE
    line = {
        "number": trial.number,
        "settings": trial.params,
        "value": trial.value if scored else None,
        "epochs": epochs,
        "seconds": trial.user_attrs["seconds"],
        "state": "complete" if scored else "failed",
    }
    return line if scored else line | {"reason": trial.user_attrs["reason"]}


def _draw(
    path: Path, finished: list[FrozenTrial], best: FrozenTrial, spans: dict[str, Span]
) -> None:
    from matplotlib.figure import Figure

    scored = [trial for trial in finished if trial.state == TrialState.COMPLETE]
    failed = [trial for trial in finished if trial.state != TrialState.COMPLETE]
    columns = min(len(spans), 3)
    rows = math.ceil(len(spans) / columns)
    figure = Figure(figsize=(1.5 + 3.5 * columns, 0.8 + 2.7 * rows), dpi=110, layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axes, (name, span) in zip(grid, spans.items(), strict=False):
        places = [trial.params[name] for trial in scored]
        axes.plot(places, [trial.value for trial in scored], "o", color=SEA, markersize=4)
        axes.plot(best.params[name], best.value, "o", color=CORAL, markersize=7)
        for trial in failed:  # it has no score: a cross on the axis
            place = trial.params[name]
            across = axes.get_xaxis_transform()
            axes.plot(place, 0.0, "x", color=QUIET, transform=across, clip_on=False)
        axes.set_xscale("log" if span.log else "linear")
        axes.set_xlim(span.low, span.high)
        axes.set_xlabel(name)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[len(spans) :]:
        axes.set_visible(False)
    title = f"MAP@5, validation; best {best.value:.3f}, trial {best.number}"
    figure.suptitle(title, x=0.02, horizontalalignment="left", fontsize=10)
    write_bytes(path, png_of(figure))
