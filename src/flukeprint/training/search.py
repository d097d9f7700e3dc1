"""Search for a recipe's settings: many short runs, the best validation score wins.

Each trial is a training run of its own, scored on the validation split that lies within the
training side; the queries that are kept for the end are never looked at. What a trial tries depends
on the seed, its number and the trials before it, so a search that was killed and goes on is the
search that was never stopped.
"""

from __future__ import annotations

import io
import json
import math
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState, create_trial

from flukeprint.errors import FlukeprintError
from flukeprint.files import check_outside, read_json, write_bytes, write_text
from flukeprint.progress import Progress, no_progress
from flukeprint.tables import fingerprint, read_table
from flukeprint.training.config import TrainConfig, config_text, with_epochs
from flukeprint.training.curves import read_log
from flukeprint.training.device import find_device
from flukeprint.training.runfolder import RunFolder
from flukeprint.training.train import train

Report = Callable[[str], object]

_STARTS = 5  # trials drawn evenly; a search has a dozen, Optuna's own ten would leave two to guide
_NAME = "search"


@dataclass(frozen=True, slots=True)
class Span:
    """The values that one setting may take: ``low`` to ``high``, evenly or over their logarithm."""

    low: float
    high: float
    log: bool = False


def _rates(config: TrainConfig) -> dict[str, Span]:
    """A thirtieth of the config's rate to thirty times it, at most 3: past that nothing learns."""
    rate = config.learning_rate
    if not rate:
        raise FlukeprintError("config: learning_rate is 0; set the one to search around")
    return {"learning_rate": Span(rate / 30, max(min(rate * 30, 3.0), rate), log=True)}


def _augmentations(config: TrainConfig) -> dict[str, Span]:
    """From nothing to about three times the defaults, where flukes are hard to tell by eye."""
    if config.augment == "none":
        raise FlukeprintError(
            "config: augment is 'none', so there are no ranges to search; set augment=realtime"
        )
    if config.head_epochs == config.epochs:
        raise FlukeprintError(
            "config: all epochs learn from features that are computed once, so there are no ranges "
            "to search; set head_epochs lower"
        )
    spans = {
        "rotate_deg": Span(0.0, 30.0),
        "zoom": Span(0.0, 0.4),
        "shift": Span(0.0, 0.2),
        "shear": Span(0.0, 0.4),
        "light": Span(0.0, 0.8),
        "erase": Span(0.0, 0.75),
    }
    if config.augment == "offline":  # makes three kinds of pictures, those that are asked for
        made = {
            "rotate_deg": config.offline_rotations,
            "zoom": config.offline_zooms,
            "shift": config.offline_shifts,
        }
        spans = {name: spans[name] for name, often in made.items() if often}
    return spans


SPACES: dict[str, Callable[[TrainConfig], dict[str, Span]]] = {
    "learning-rate": _rates,
    "augmentation": _augmentations,
}
"""What can be searched: the settings and their spans, given the config to start from."""


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
    trials: int,
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
        study = _Study(folder.study, spans, config.seed)
        for number in range(trials):
            trial = study.take_up(number)
            if trial.state.is_finished():
                continue
            named = ", ".join(f"{name} {value:.4g}" for name, value in trial.params.items())
            run, tried = folder.trial(number), replace(short, **trial.params)
            report(f"{run.name} of {trials}: {named}")
            started = time.monotonic()
            value, reason = _run(data, run, tried, device, progress, report)
            study.finish(number, value, reason, seconds=round(time.monotonic() - started, 2))
            ended = f"failed: {reason}" if reason else f"validation MAP@5 {value:.4f}"
            report(f"{run.name}: {ended}")
            _write_results(folder, study.finished(), spans, config, short.epochs)
        finished = study.finished()
        _write_results(folder, finished, spans, config, short.epochs)  # a kill may have come before
    best = _best(finished)
    if best is None:
        raise FlukeprintError(
            f"{folder.log}: no trial ended with a score; search around other settings into another "
            "folder"
        )
    return {
        "what": what,
        "number": best.number,
        "settings": best.params,
        "value": best.value,
        "trials": len(finished),
        "failed": sum(trial.state != TrialState.COMPLETE for trial in finished),
    }


class _Study:
    """Optuna's study of one search, kept in a journal.

    A journal is a text file that each step adds a line to: it needs no server, nothing in it is
    unpickled (as a sampler kept in a file would be), and a kill can at most cut its last line.
    """

    def __init__(self, path: Path, spans: dict[str, Span], seed: int) -> None:
        self._seed = seed
        self._spaces: dict[str, BaseDistribution] = {
            name: FloatDistribution(span.low, span.high, log=span.log)
            for name, span in spans.items()
        }
        _drop_cut_line(path)
        try:
            backend = JournalFileBackend(str(path), JournalFileOpenLock(str(path)))
            self._storage = JournalStorage(backend)
            self._study = optuna.create_study(
                study_name=_NAME,
                storage=self._storage,
                direction="maximize",
                load_if_exists=True,
            )
        except Exception as error:  # a line that is no step of Optuna's fails in many ways
            reason = " ".join(str(error).split())[:120]
            raise FlukeprintError(
                f"{path}: damaged or not to be read; search again into another folder: {reason}"
            ) from None

    def take_up(self, number: int) -> FrozenTrial:
        """A trial that is there already, finished or cut short, or else the next one."""
        if number == len(self._study.trials):
            # Running from the start, with all its values in one line: no kill can part them.
            params = self._suggested(number)
            self._study.add_trial(
                create_trial(state=TrialState.RUNNING, params=params, distributions=self._spaces)
            )
        return self._study.trials[number]

    def _suggested(self, number: int) -> dict[str, float]:
        """New values, asked of a copy of the study: asking writes down one value at a time."""
        # A sampler of its own for each trial: one that served the trials before has drawn numbers
        # that a search that goes on has not.
        drawn = np.random.SeedSequence((self._seed, number)).generate_state(1)
        sampler = optuna.samplers.TPESampler(seed=int(drawn[0]), n_startup_trials=_STARTS)
        copy = optuna.create_study(direction="maximize", sampler=sampler)
        copy.add_trials(self._study.trials)
        return copy.ask(self._spaces).params

    def finish(self, number: int, value: float | None, reason: str, *, seconds: float) -> None:
        """Record how a trial went; without a value it failed, for that reason."""
        study = self._storage.get_study_id_from_name(_NAME)
        trial = self._storage.get_trial_id_from_study_id_trial_number(study, number)
        self._storage.set_trial_user_attr(trial, "seconds", seconds)
        if value is None:
            self._storage.set_trial_user_attr(trial, "reason", reason)
            # Not FAIL, which the sampler passes over: it shall keep away from what diverges.
            self._study.tell(number, state=TrialState.PRUNED)
        else:
            self._study.tell(number, value)

    def finished(self) -> list[FrozenTrial]:
        """The trials that are over, in order."""
        return [trial for trial in self._study.trials if trial.state.is_finished()]


def _drop_cut_line(path: Path) -> None:
    """Cut the journal after its last whole line: Optuna would write on in the middle of another."""
    text = path.read_bytes() if path.exists() else b""
    whole = text[: text.rfind(b"\n") + 1]
    if whole != text:
        write_bytes(path, whole)


# Any other error would stop every trial alike, such as a full disk: it stops the search.
_UNSCORED = re.compile(r"\b(nan|finite|diverge[ds]?|scores?)\b", re.IGNORECASE)


def _run(
    data: Path, out: Path, config: TrainConfig, device: str, progress: Progress, report: Report
) -> tuple[float | None, str]:
    """Train one trial: its validation MAP@5, or None and why there is none."""

    def tell(line: str) -> object:
        return report(f"{out.name}: {line}")

    try:
        result = train(data, out, config, device=device, progress=progress, report=tell)
    except FlukeprintError as error:
        reason = " ".join(str(error).split())
        said = reason.replace(str(out), "").replace(str(data), "")  # a folder may be called scores
        if not _UNSCORED.search(said):
            raise
        return None, reason
    value = float(result["map5"])
    for entry in read_log(RunFolder(out)):
        # The scores of a network that has diverged are finite, chance can make them the best.
        if not math.isfinite(entry["loss"]):
            return None, f"diverged: the loss of epoch {entry['epoch']} is {entry['loss']}"
    if not 0.0 <= value <= 1.0:  # nan, too, is not between
        return None, f"its validation MAP@5 is {value}"
    return value, ""


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
    figure = Figure(figsize=(1.5 + 3.5 * columns, 0.8 + 2.7 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axes, (name, span) in zip(grid, spans.items(), strict=False):
        places = [trial.params[name] for trial in scored]
        axes.plot(places, [trial.value for trial in scored], "o", color="#1b6ca8", markersize=4)
        axes.plot(best.params[name], best.value, "o", color="#c8502b", markersize=7)
        for trial in failed:  # it has no score: a cross on the axis
            place = trial.params[name]
            across = axes.get_xaxis_transform()
            axes.plot(place, 0.0, "x", color="#777777", transform=across, clip_on=False)
        axes.set_xscale("log" if span.log else "linear")
        axes.set_xlim(span.low, span.high)
        axes.set_xlabel(name)
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid[len(spans) :]:
        axes.set_visible(False)
    title = f"MAP@5, validation; best {best.value:.3f}, trial {best.number}"
    figure.suptitle(title, x=0.02, horizontalalignment="left", fontsize=10)
    packed = io.BytesIO()
    figure.savefig(packed, format="png", dpi=110)
    write_bytes(path, packed.getvalue())
