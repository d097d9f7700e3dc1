"""What a model tells of queries beside its answers, and how well that holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flukeprint import metrics
from flukeprint.decide import Beliefs, least_to_review, to_review
from flukeprint.records import ANSWERS

BANDS = 3
MISS_RATES = (0.05, 0.1, 0.2)


@dataclass(frozen=True, slots=True)
class Forecasts:
    """Q queries' beliefs, and what they are to be held against.

    ``true`` (Q,) is the probability that the true whale was given, nan where that is new;
    ``quality`` (Q,) that of the photos.
    """

    beliefs: Beliefs
    true: NDArray[np.float64]
    quality: NDArray[np.float64]

    def first(self) -> NDArray[np.float64]:
        """The probability of each first answer: (Q,)."""
        most = self.beliefs.whales.max(axis=1, initial=0.0)
        return np.asarray(np.maximum(most, self.beliefs.new), dtype=np.float64)

    def rows(self) -> list[dict[str, Any]]:
        """Each query's figures."""
        names = ("new", "probability", "quality")
        columns = zip(self.beliefs.new, self.first(), self.quality, strict=True)
        return [
            {name: round(float(figure), 6) for name, figure in zip(names, figures, strict=True)}
            for figures in columns
        ]

    def missed(self, true_probabilities: Sequence[float]) -> list[dict[str, Any]]:
        """What a reviewer misses at some miss rates, and how many candidates that takes.

        ``true_probabilities`` are the model's; without any it can tell nothing.
        """
        known = ~np.isnan(self.true)
        made = []
        for rate in MISS_RATES if len(true_probabilities) and known.any() else ():
            bar = least_to_review(true_probabilities, rate)
            counts = to_review(self.beliefs, bar)
            made.append(
                {
                    "miss_rate": rate,
                    "missed": float((self.true[known] < bar).mean()),
                    "candidates_mean": float(counts.mean()),
                    "candidates_median": float(np.median(counts)),
                }
            )
        return made

    def bands(
        self, places: NDArray[np.int64], among: NDArray[np.int64], known: NDArray[np.bool_]
    ) -> list[dict[str, Any]]:
        """Scores of the worst, middle and best third of the photos by their quality.

        ``places`` (Q,) are the truths' among all answers, ``among`` (Q,) among whales alone.
        """
        bands = []
        for third in np.array_split(np.argsort(self.quality, kind="stable"), BANDS):
            if not len(third):
                continue
            there = known[third]
            first = metrics.within(among[third][there], 1)
            bands.append(
                {
                    "quality": [round(float(self.quality[third[end]]), 4) for end in (0, -1)],
                    "queries_known": int(there.sum()),
                    "queries_new": int((~there).sum()),
                    "map5": float(metrics.reciprocal(places[third], ANSWERS).mean()),
                    "top1_known": float(first.mean()) if len(first) else None,
                }
            )
        return bands


def true_probabilities(
    beliefs: Beliefs, individuals: Sequence[str], labels: Sequence[str]
) -> NDArray[np.float64]:
    """The probability that each query's true whale was given: (Q,), nan where it is new."""
    column = {name: place for place, name in enumerate(individuals)}
    return np.array(
        [
            beliefs.whales[row, column[label]] if label in column else np.nan
            for row, label in enumerate(labels)
        ]
    )
