"""From likeness to probabilities: which whale, or a new one. Pure functions on arrays.

Bayes' rule with beliefs fitted on queries that were never trained on. For whales of likeness s, a
best photo of an unidentified whale of likeness t, and a background r (how alike the query is to
whales that it is not)::

    weight(whale k) = often_k * ((W / 1000) ** size_power
                                 * exp(known_log_odds + worth(s_k) - background_gain * r)
                                 + exp(unlike_log_odds) / W)
    weight(new)     = 1 + exp(unidentified_log_odds + worth(t) - background_gain * r)
    worth(s)        = likeness_gain * s + likeness_curve * max(s, 0) ** 2
    probability     = weight / sum of all weights

``often_k`` is the whale's number of photos to the power of ``abundance``, divided by its mean over
all whales: whoever was met often will be met again. Some photos are like no photo of their own
whale; without ``unlike_log_odds``, the odds of that, they would teach the fit to doubt every match.
Likeness is worth more the more of it there is: without ``likeness_curve`` whales that stand first
are given too little. W is the number of whales in the catalogue: the more there are, the more
strangers are alike by chance, and a weak network needs ``size_power`` to tell how much that is
worth.

The background is what lets one fit serve catalogues of forty whales and of four thousand, and of
another ocean: among more whales, or among whales that the network tells apart less well, strangers
are more alike, and a match has to stand out from them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from flukeprint.errors import FlukeprintError
from flukeprint.rank import Likeness

NEVER = -100.0
"""Log-odds of what never happens, finite so that JSON can hold them."""

USUAL_SIZE = 1_000
"""The number of whales for which ``known_log_odds`` stands as it is."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The fitted beliefs: gains per unit of likeness, natural logarithms of odds.

    ``usual_background`` stands in where a catalogue has no second whale to tell, ``abundance`` and
    ``size_power`` are powers.
    """

    likeness_gain: float
    background_gain: float
    known_log_odds: float
    unidentified_log_odds: float
    usual_background: float
    unlike_log_odds: float = NEVER
    abundance: float = 0.0
    size_power: float = 0.0
    likeness_curve: float = 0.0

    def known_among(self, whales: int) -> float:
        """``known_log_odds`` in a catalogue of so many whales."""
        return self.known_log_odds + self.size_power * math.log(max(whales, 1) / USUAL_SIZE)

    def worth(self, likeness: NDArray[np.floating]) -> NDArray[np.floating]:
        """What finite likenesses add to the log-odds."""
        curved = self.likeness_curve * np.maximum(likeness, 0.0) ** 2
        return np.asarray(self.likeness_gain * likeness + curved)

    def to_dict(self) -> dict[str, float]:
        """As a model's manifest keeps it."""
        return asdict(self)

    @staticmethod
    def from_dict(raw: dict[str, float]) -> Calibration:
        """Undo :meth:`to_dict`.

        Raises:
            FlukeprintError: a number is missing or not finite.
        """
        try:
            made = Calibration(**{name: float(value) for name, value in raw.items()})
        except (TypeError, ValueError, OverflowError) as error:
            raise FlukeprintError(f"the model's calibration is not valid: {error}") from None
        if not all(np.isfinite(list(asdict(made).values()))):
            raise FlukeprintError("the model's calibration holds a number that is not finite")
        return made


@dataclass(frozen=True, slots=True)
class Beliefs:
    """Probabilities for Q queries: ``whales`` (Q, W) and ``new`` (Q,) float64, rows sum to 1."""

    whales: NDArray[np.float64]
    new: NDArray[np.float64]


def believe(likeness: Likeness, calibration: Calibration) -> Beliefs:
    """Probabilities from likeness, by the rule at the head of this module."""
    return _shares(_log_weights(likeness, calibration))


def believe_together(likeness: Likeness, calibration: Calibration) -> Beliefs:
    """Probabilities for Q photos that show one whale in one encounter: (1, W) and (1,).

    Weights are multiplied as if each of Q photos told a Qth part of what one alone tells. Photos of
    one encounter share their light, distance and angle, and with them their mistakes: taken as
    independent they are too sure. See ``benchmarks/encounters.py``.
    """
    return _shares(_log_weights(likeness, calibration).mean(axis=0, keepdims=True))


def _log_weights(likeness: Likeness, calibration: Calibration) -> NDArray[np.float64]:
    """Logarithms of the weights of W whales and of "new": (Q, W + 1) float64."""
    background = likeness.background()
    background = np.where(np.isnan(background), calibration.usual_background, background)
    against = calibration.background_gain * background
    known = calibration.known_among(likeness.whales.shape[1])
    whales = known + _worth(likeness.whales, calibration) - against[:, None]
    unlike = calibration.unlike_log_odds - np.log(max(whales.shape[1], 1))
    whales = np.where(np.isneginf(whales), whales, np.logaddexp(whales, unlike))
    whales = whales + log_often(likeness.photos, calibration.abundance)
    unidentified = calibration.unidentified_log_odds + _worth(likeness.new, calibration) - against
    return np.column_stack([whales, np.logaddexp(0.0, unidentified)])


def _shares(logits: NDArray[np.float64]) -> Beliefs:
    shares = np.exp(logits - _log_sum(logits)[:, None])
    return Beliefs(shares[:, :-1], shares[:, -1])


def with_new_share(beliefs: Beliefs, share: float, fitted: float) -> Beliefs:
    """The beliefs of someone who expects another share of new whales than the fit was made for.

    Both shares lie between 0 and 1. By Bayes' rule the odds of "new" change as the shares' odds.
    """
    times = (share / (1.0 - share)) / (fitted / (1.0 - fitted))
    # Not 1 + (times - 1) * new: where everything is new and a small share is expected, it is 0.
    total = beliefs.whales.sum(axis=1) + times * beliefs.new
    return Beliefs(beliefs.whales / total[:, None], times * beliefs.new / total)


def ruled_out(beliefs: Beliefs, out: NDArray[np.bool_]) -> Beliefs:
    """The beliefs of someone who knows which whales it is not: ``out`` (Q, W) bool.

    By Bayes' rule the others' odds stay as they are; where nobody is left, the whale is new.
    """
    whales = np.where(out, 0.0, beliefs.whales)
    total = whales.sum(axis=1) + beliefs.new
    sure = total > 0
    total = np.where(sure, total, 1.0)
    return Beliefs(whales / total[:, None], np.where(sure, beliefs.new / total, 1.0))


def to_review(beliefs: Beliefs, least: float) -> NDArray[np.int64]:
    """How many candidates of each query are as probable as ``least``: (Q,) int64.

    Looking at all above one bar is the least work for a given share of missed matches: a candidate
    that is left out is always less probable than one that is looked at (Neyman and Pearson, 1933).
    """
    return np.asarray((beliefs.whales >= least).sum(axis=1), dtype=np.int64)


def least_to_review(true_probabilities: Sequence[float], miss_rate: float) -> float:
    """The bar below which ``miss_rate`` of the true matches fall.

    ``true_probabilities`` are the probabilities that true matches were given, quantiles at even
    steps from the least to the most.
    """
    steps = np.linspace(0.0, 1.0, len(true_probabilities))
    return float(np.interp(miss_rate, steps, true_probabilities))


def log_often(photos: NDArray[np.int64] | None, abundance: float) -> NDArray[np.float64] | float:
    """The logarithm of how often each whale is met beside the others, by its photos: (W,)."""
    if photos is None or not len(photos):
        return 0.0
    powers = abundance * np.log(photos)
    return np.asarray(powers - np.log(np.exp(powers).mean()))


def _worth(likeness: NDArray[np.float32], calibration: Calibration) -> NDArray[np.float64]:
    """What likeness adds to the log-odds, but -inf (nothing to be like) stays so."""
    there = np.isfinite(likeness)
    alike = np.where(there, likeness, 0.0).astype(np.float64)
    return np.where(there, calibration.worth(alike), -np.inf)


def _log_sum(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    most = logits.max(axis=1)
    total: NDArray[np.float64] = most + np.log(np.exp(logits - most[:, None]).sum(axis=1))
    return total


def order(beliefs: Beliefs, count: int) -> NDArray[np.int64]:
    """The ``count`` likeliest answers, best first: (Q, min(count, W + 1)) int64; W means new.

    Equal probabilities keep the whales' order, so that the same input always gives the same answer.
    """
    everything = np.column_stack([beliefs.whales, beliefs.new])
    # Not argpartition: which of several equals it lets in depends on the machine.
    return np.argsort(-everything, axis=1, kind="stable")[:, :count].astype(np.int64)
