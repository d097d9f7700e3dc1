"""Fit the beliefs of :mod:`flukeprint.decide` by maximum likelihood."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from flukeprint.decide import Calibration
from flukeprint.rank import Likeness

# A weak pull towards plain values keeps a handful of queries from giving wild certainty.
_START = (12.0, -4.0, 0.0, -8.0)
_SPREAD = (20.0, 20.0, 1.0, 10.0)


def fit_calibration(
    likeness: Likeness, photos_per_whale: NDArray[np.int64], truth: NDArray[np.int64]
) -> Calibration:
    """Fit to Q queries: ``truth`` (Q,) is the true whale's column, -1 where the whale is new.

    Without any query it is the plain values that a few queries are pulled to.
    """
    if not len(truth):
        return Calibration(*_START)
    whales = torch.from_numpy(likeness.whales.astype(np.float64))
    unidentified = torch.from_numpy(likeness.new.astype(np.float64))
    # Likeness is -inf where the gallery has no unidentified whale. Its gradient would be 0 * inf.
    none = torch.isneginf(unidentified)
    unidentified = unidentified.masked_fill(none, 0.0)
    log_photos = torch.from_numpy(np.log(np.maximum(photos_per_whale, 1)))
    target = torch.from_numpy(np.where(truth < 0, whales.shape[1], truth))
    start, spread = torch.tensor(_START).double(), torch.tensor(_SPREAD).double()
    beliefs = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([beliefs], max_iter=200, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        gain, known, familiarity, odd = start + beliefs * spread
        prior = torch.log_softmax(familiarity * log_photos, dim=0)
        new = torch.nn.functional.softplus(odd + gain * unidentified).masked_fill(none, 0.0)
        logits = torch.cat([known + gain * whales + prior, new[:, None]], dim=1)
        total = torch.nn.functional.cross_entropy(logits, target)
        total = total + beliefs.square().sum() / (2 * len(target))
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    return Calibration(*(float(value) for value in (start + beliefs * spread).detach()))
