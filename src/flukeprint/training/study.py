"""A search's trials, kept so that a kill at any moment loses none."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState, create_trial

from flukeprint.errors import FlukeprintError, reason_of
from flukeprint.files import write_bytes
from flukeprint.training.spaces import Span

_STARTS = 5  # trials drawn evenly; a search has a dozen, Optuna's own ten would leave two to guide
_NAME = "search"


class Study:
    """Optuna's study of one search, kept in a journal.

    A journal is a text file that each step adds a line to: it needs no server, nothing in it is
    unpickled (as a sampler kept in a file would be), and a kill can at most cut its last line.
    """

    def __init__(self, path: Path, spans: Mapping[str, Span], seed: int) -> None:
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
            raise FlukeprintError(
                f"{path}: damaged or not to be read; search again into another folder: "
                f"{reason_of(error)}"
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
