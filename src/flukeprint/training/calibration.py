"""Fit the beliefs of :mod:`flukeprint.decide` by maximum likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flukeprint.decide import USUAL_SIZE, Calibration, believe
from flukeprint.rank import Likeness
from flukeprint.records import COMPETITION_NEW_SHARE


@dataclass(frozen=True, slots=True)
class _Prior:
    """Where the fit starts, and how far a few queries may carry it from there.

    A weak pull towards plain values keeps a handful of queries from giving wild certainty. Numbers
    in the order of ``FITTED``.
    """

    start: tuple[float, ...]
    spread: tuple[float, ...]
    background: float


FITTED = (
    "likeness_gain",
    "background_gain",
    "known_log_odds",
    "unidentified_log_odds",
    "unlike_log_odds",
    "abundance",
    "size_power",
    "likeness_curve",
)
# By the kind of the model.
_PRIORS = {
    "embedding": _Prior(
        (12.0, 4.0, -4.0, -8.0, -3.0, 0.0, 0.0, 0.0),
        (20.0, 10.0, 20.0, 10.0, 3.0, 1.0, 1.0, 20.0),
        0.3,
    ),
    # Logits are made to be exponents as they are: a gain of 1 gives the network's own odds.
    # It has one catalogue, which tells nothing of other sizes; and no curve, logits are exponents.
    "softmax": _Prior(
        (1.0, 0.3, 0.0, 0.0, -3.0, 0.0, 0.0, 0.0), (2.0, 2.0, 20.0, 20.0, 3.0, 1.0, 0.0, 0.0), 0.0
    ),
}

SIZES = {40: 12, 160: 6, 640: 3, 2_560: 2}
"""How many smaller catalogues of so many whales are drawn from a large one."""


@dataclass(frozen=True, slots=True)
class Case:
    """Q queries put to one catalogue of W whales; a softmax model's, to those it was taught.

    The likeness to every whale is finite.
    ``truth`` (Q,) int64 is the true whale's column, -1 where the whale is new, or new to a softmax
    model that was not taught it; ``weight`` is how much the case counts beside the others.
    """

    likeness: Likeness
    truth: NDArray[np.int64]
    weight: float = 1.0


def fit_calibration(cases: Sequence[Case], kind: str = "embedding") -> Calibration:
    """Fit to the cases' queries; without any, the plain values that a few are pulled to.

    ``kind`` is the model's, ``embedding`` or ``softmax``: cosines and logits differ in scale.
    """
    prior = _PRIORS[kind]
    cases = [case for case in cases if len(case.truth)]
    if not cases:
        return _calibration(prior.start, prior.background)
    backgrounds = [case.likeness.background() for case in cases]
    means = [float(part.mean()) for part in backgrounds if not np.isnan(part).any()]
    usual = min(means, default=prior.background)
    parts = [
        (_tensors(case, np.nan_to_num(background, nan=usual)), case.weight)
        for case, background in zip(cases, backgrounds, strict=True)
    ]
    heft = sum(case.weight for case in cases)
    pull = heft / (2 * sum(len(case.truth) for case in cases))
    values = _fitted(parts, prior.start, prior.spread, pull)
    if values[-1] < 0:  # the curve
        # Bent down, a few odd queries would have the most alike be the least likely.
        values = _fitted(parts, prior.start, (*prior.spread[:-1], 0.0), pull)
    return _calibration(values, usual)


def _fitted(
    parts: Sequence[tuple[_Part, float]],
    start: Sequence[float],
    spread: Sequence[float],
    pull: float,
) -> list[float]:
    """The likeliest values, pulled to ``start``; a number without any ``spread`` stays there."""
    begin, scale = torch.tensor(start).double(), torch.tensor(spread).double()
    beliefs = torch.zeros(len(FITTED), dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([beliefs], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        values = begin + beliefs * scale
        total = pull * beliefs.square().sum()
        for part, weight in parts:
            total = total + weight * _surprise(values, part)
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    found: list[float] = (begin + beliefs * scale).detach().tolist()
    return found


def _calibration(values: Sequence[float], usual_background: float) -> Calibration:
    fitted = dict(zip(FITTED, values, strict=True))
    return Calibration(usual_background=usual_background, **fitted)


@dataclass(frozen=True, slots=True)
class _Part:
    """A case in float64 tensors, its likenesses (Q, W) or (Q,); ``log_photos`` (W,)."""

    whales: Tensor
    unidentified: Tensor
    background: Tensor
    log_photos: Tensor
    target: Tensor


def _tensors(case: Case, background: NDArray[np.float64]) -> _Part:
    whales = case.likeness.whales.astype(np.float64)
    photos = case.likeness.photos
    return _Part(
        torch.from_numpy(whales),
        torch.from_numpy(case.likeness.new.astype(np.float64)),
        torch.from_numpy(background),
        torch.from_numpy(np.zeros(whales.shape[1]) if photos is None else np.log(photos)),
        torch.from_numpy(np.where(case.truth < 0, whales.shape[1], case.truth)),
    )


def _surprise(values: Tensor, part: _Part) -> Tensor:
    """Mean negative log-likelihood of the true answers; see :func:`flukeprint.decide.believe`."""
    gain, background_gain, known, odd, unlike, abundance, size_power, curve = values

    def worth(alike: Tensor) -> Tensor:
        added: Tensor = gain * alike + curve * alike.clamp(min=0.0).square()
        return added

    # Likeness is -inf where the gallery has no unidentified whale. Its gradient would be 0 * inf.
    none = torch.isneginf(part.unidentified)
    against = background_gain * part.background
    strange = odd + worth(part.unidentified.masked_fill(none, 0.0)) - against
    new = torch.nn.functional.softplus(strange).masked_fill(none, 0.0)
    count = part.whales.shape[1]
    known = known + size_power * np.log(count / USUAL_SIZE)
    alike = known + worth(part.whales) - against[:, None]
    often = abundance * part.log_photos
    often = often - torch.logsumexp(often, dim=0) + np.log(count)
    whales = torch.logaddexp(alike, (unlike - np.log(count)).expand_as(alike)) + often
    return torch.nn.functional.cross_entropy(torch.cat([whales, new[:, None]], dim=1), part.target)


def true_quantiles(case: Case, calibration: Calibration) -> tuple[float, ...]:
    """Quantiles, in steps of a hundredth, of the probabilities that true whales are given.

    Empty where no query's whale is known.
    """
    known = np.flatnonzero(case.truth >= 0)
    if not len(known):
        return ()
    given = believe(case.likeness, calibration).whales[known, case.truth[known]]
    return tuple(np.quantile(given, np.linspace(0.0, 1.0, 101)).tolist())


def smaller_catalogues(
    likeness: Likeness, truth: NDArray[np.int64], sizes: dict[int, int]
) -> list[Case]:
    """The same queries put to parts of the catalogue, each size counting alike, 1 in all.

    At most half of a part are whales that are asked about; of the queries whose whale is left out
    as many stay as keep the share of new ones at the competition's.
    """
    count = likeness.whales.shape[1]
    sizes = {size: often for size, often in sizes.items() if size < count}
    rng = np.random.default_rng(0)
    asked = np.unique(truth[truth >= 0])
    cases = []
    for size, often in sizes.items():
        for _ in range(often):
            some = rng.choice(asked, min(len(asked), size // 2), replace=False)
            others = np.setdiff1d(np.arange(count), some)
            whales = np.sort(np.append(some, rng.choice(others, size - len(some), replace=False)))
            inside = np.isin(truth, whales)
            new = np.flatnonzero(~inside)
            share = COMPETITION_NEW_SHARE / (1.0 - COMPETITION_NEW_SHARE)
            stay = rng.choice(new, min(round(int(inside.sum()) * share), len(new)), replace=False)
            rows = np.sort(np.append(np.flatnonzero(inside), stay))
            photos = None if likeness.photos is None else likeness.photos[whales]
            part = Likeness(likeness.whales[rows][:, whales], likeness.new[rows], photos)
            column = np.where(inside[rows], np.searchsorted(whales, truth[rows]), -1)
            cases.append(Case(part, column, 1.0 / (often * len(sizes))))
    return cases
