"""The bench's value types: a row per system, to JSON and back."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flukeprint.errors import FlukeprintError
from flukeprint.metrics import bootstrap, weighted_mean
from flukeprint.records import NEW_WHALE, Interval

FAVOURITES = 3


@dataclass(frozen=True, slots=True)
class Scored:
    """One system's scores on one protocol, all of them shares from 0 to 1 but the gains.

    ``top1`` and ``top5`` are of known whales, ``new_whale`` left out of the answers. ``collapse``
    is :func:`collapse_share`. The gains are paired differences of MAP@5.
    """

    map5: Interval
    top1: Interval
    top5: Interval
    f1_macro: Interval
    collapse: float
    queries: int
    auroc_known: Interval | None = None
    gain_over_new_whale: Interval | None = None
    gain_over_stanford_cnn: Interval | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, which has no nan: null stands for it."""
        return _without_nan(asdict(self))  # type: ignore[no-any-return]

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> Scored:
        """Undo :meth:`to_dict`.

        Raises:
            FlukeprintError: a value is missing or is none of these.
        """
        try:
            return cls(
                map5=_interval(raw["map5"]),
                top1=_interval(raw["top1"]),
                top5=_interval(raw["top5"]),
                f1_macro=_interval(raw["f1_macro"]),
                collapse=float(raw["collapse"]),
                queries=int(raw["queries"]),
                auroc_known=_maybe_interval(raw.get("auroc_known")),
                gain_over_new_whale=_maybe_interval(raw.get("gain_over_new_whale")),
                gain_over_stanford_cnn=_maybe_interval(raw.get("gain_over_stanford_cnn")),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise FlukeprintError(f"not the scores of a bench: {error!r}") from None


@dataclass(frozen=True, slots=True)
class Row:
    """One system in the bench's table; what was not measured is None, and ``note`` says why.

    ``paper`` and ``section`` say where it comes from, ``published`` its paper's figures in words
    and ``published_map5`` the one on Kaggle. ``epochs`` were trained of the recipe's own
    ``recipe_epochs``. A ``partial`` row is of half of the whales, with queries of its own.
    """

    name: str
    paper: str
    section: str
    published: str
    epochs: int | None
    recipe_epochs: int | None
    parameters: int | None
    seconds_per_epoch: float | None
    paper_protocol: Scored | None
    open_set: Scored | None
    note: str = ""
    published_map5: float | None = None
    partial: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return _without_nan(asdict(self))  # type: ignore[no-any-return]


def collapse_share(answers: Sequence[Sequence[str]]) -> float:
    """The share of queries whose answers hold any of the three most answered whales.

    ``answers`` has up to five labels a query. ``new_whale`` is no whale; of whales answered equally
    often the first by name counts. 0.0 without a query.

    Source: Zweig and Negre, "A Fluke in the Data", section 5.1: three classes in over 90 % of the
    predictions.
    """
    often = Counter(label for row in answers for label in row if label != NEW_WHALE)
    ranked = sorted(often, key=lambda label: (-often[label], label))
    favourites = set(ranked[:FAVOURITES])
    held = sum(not favourites.isdisjoint(row) for row in answers)
    return held / len(answers) if answers else 0.0


def paired_gain(
    a: NDArray[np.float64], b: NDArray[np.float64], clusters: Sequence[str]
) -> Interval:
    """How much larger the mean of ``a`` (Q,) is than that of ``b`` on the same queries.

    Both are reciprocal ranks, so that the gain is one of MAP@5. Each resample draws whole clusters
    (a whale's queries) and compares the two on the same draw.

    Raises:
        ValueError: they are not of the same queries.
    """
    if not a.shape == b.shape == (len(clusters),):
        raise ValueError(f"{a.shape} and {b.shape} ranks do not fit {len(clusters)} queries")
    difference = a - b
    return bootstrap(lambda weights: {"gain": weighted_mean(difference, weights)}, clusters)["gain"]


def _interval(raw: dict[str, Any]) -> Interval:
    parts = (raw[part] for part in ("value", "low", "high"))
    return Interval(*(math.nan if part is None else float(part) for part in parts))


def _maybe_interval(raw: dict[str, Any] | None) -> Interval | None:
    return None if raw is None else _interval(raw)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(part) for key, part in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value
