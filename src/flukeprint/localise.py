"""From what the localiser says of each place in a photo to the fluke that the photo shows.

The localiser looks at a photo squashed to a square and answers for a grid of places, eight numbers
each: the logit that a fluke's middle is there, its box x0 y0 x1 y1 in fractions of the photo, the
logit that it is upside down, its slope, and the logit that the photo shows a fluke at all.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flukeprint.records import Box, Fluke

NUMBERS = 8
LOGIT, CORNERS, UPSIDE_DOWN, SLOPE, SHOWN = 0, slice(1, 5), 5, 6, 7
RARE = float(np.log(1 / 99))  # the log-odds of an upside-down fluke: one photo in a hundred
STEEPEST = 1.0  # slope beyond which levelling would invent more than it mends
LIKELY = 0.5  # the probability from which a place tells of another fluke
SAME = 0.6  # overlap of two places' boxes above which both tell of one fluke
APART = 0.3  # of the smaller of two boxes: no two flukes share more
LEAST_SIDE = 0.02  # of the photo: a smaller box would be magnified noise


def fluke_of(places: NDArray[np.float32]) -> Fluke:
    """The largest fluke among the answers of (P, 8) places; the likeliest where none is seen.

    The network learns from as many flukes upside down as upright; ``RARE`` mends that.

    A number that is not finite counts as no fluke, level, in the whole photo.
    """
    given = np.where(np.isfinite(places), places, _NOTHING).astype(np.float64)
    probability = _logistic(given[:, LOGIT])
    boxes = np.clip(given[:, CORNERS], 0.0, 1.0)
    found: list[NDArray[np.float64]] = []
    ranked = np.argsort(-probability, kind="stable")
    left = ranked[: max(1, int((probability >= LIKELY).sum()))]
    while len(left):
        place, left = left[0], left[1:]
        # Neighbouring places see the same fluke: together they know its edges better.
        near = (overlap(boxes[place], boxes) > SAME) & (probability > probability[place] / 2)
        near[place] = True
        weight = probability[near] ** 2 + 1e-12
        weight /= weight.sum()
        answer = weight @ given[near]
        answer[CORNERS] = weight @ boxes[near]
        found.append(answer)
        left = left[covered(answer[CORNERS], boxes[left]) <= APART]
    largest = max(found, key=lambda answer: _area(answer[CORNERS]))
    return Fluke(
        box_of(largest[CORNERS]),
        float(_logistic(largest[SHOWN])),
        float(np.clip(largest[SLOPE], -STEEPEST, STEEPEST)),
        bool(largest[UPSIDE_DOWN] + RARE > 0),
        len(found) - 1,
    )


_NOTHING = np.array([-100.0, 0.0, 0.0, 1.0, 1.0, -100.0, 0.0, -100.0])


def _logistic(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = 0.5 * (1.0 + np.tanh(0.5 * logits))
    return shares


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.maximum(boxes[..., 2:] - boxes[..., :2], 0.0).prod(axis=-1))


def _area(box: NDArray[np.float64]) -> float:
    return float(_areas(box))


def overlap(box: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Intersection over union of one box (4,) with others (..., 4)."""
    shared = _shared(box, boxes)
    return np.asarray(shared / np.maximum(_areas(boxes) + _area(box) - shared, 1e-9))


def covered(box: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    """The share of the smaller of one box (4,) and others (N, 4) that lies in the larger: (N,).

    1 where the smaller is empty.
    """
    least = np.minimum(_areas(boxes), _area(box))
    shared = _shared(box, boxes)
    return np.divide(shared, least, out=np.ones_like(shared), where=least > 0)


def _shared(box: NDArray[np.float64], boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    low, high = np.maximum(box[:2], boxes[..., :2]), np.minimum(box[2:], boxes[..., 2:])
    return np.asarray(np.maximum(high - low, 0.0).prod(axis=-1))


def box_of(corners: NDArray[np.float64]) -> Box:
    """A box from four numbers x0 y0 x1 y1, kept inside the photo and not too thin."""
    low, high = np.clip(corners.reshape(2, 2), 0.0, 1.0)
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, LEAST_SIDE / 2)
    middle = np.clip(middle, half, 1.0 - half)
    (x0, y0), (x1, y1) = np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)
    return Box(float(x0), float(y0), float(x1), float(y1))
