"""Average linkage of pairs (Sokal and Michener, 1958).

Two clusters join where the mean over all pairs between them says so: one chance likeness cannot
chain two together.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Cluster:
    """Members by number, sorted, and the lowest mean log-odds at which any of them were joined."""

    members: tuple[int, ...]
    weakest: float


def link(
    sizes: Sequence[int],
    excess: dict[tuple[int, int], float],
    *,
    base: float,
    least: float = -math.inf,
) -> list[Cluster]:
    """Join things of so many photos by average linkage, in the order of their first members.

    ``excess`` holds, for pairs of things (smaller, larger), the sum over their pairs of photos of
    the log-odds above ``base``; pairs it does not hold are at ``base``, and are not joined. Ends
    where no mean is as high as ``least``.
    """
    members: dict[int, tuple[int, ...]] = {thing: (thing,) for thing in range(len(sizes))}
    weakest = dict.fromkeys(members, math.inf)
    many = dict(enumerate(sizes))
    near: dict[int, dict[int, float]] = {thing: {} for thing in members}
    waiting = []
    for (a, b), total in excess.items():
        near[a][b] = near[b][a] = total
        waiting.append((-(base + total / (many[a] * many[b])), a, b))
    heapq.heapify(waiting)
    while waiting:
        cost, a, b = heapq.heappop(waiting)
        if -cost < least:
            break
        if a not in members or b not in members:
            continue
        new = len(many)
        members[new] = tuple(sorted(members.pop(a) + members.pop(b)))
        weakest[new] = -cost  # average linkage never joins at more than it has joined before
        many[new] = many[a] + many[b]
        _move(near, (a, b), new)
        for other, total in near[new].items():
            heapq.heappush(waiting, (-(base + total / (many[new] * many[other])), new, other))
    found = [Cluster(inside, weakest[thing]) for thing, inside in members.items()]
    return sorted(found, key=lambda cluster: cluster.members)


def halves(alike: NDArray[np.floating]) -> tuple[list[int], list[int]]:
    """The two clusters that average linkage joins last, each sorted, the smaller first.

    ``alike`` (N, N), N at least 2, are the log-odds of all pairs, symmetric; the diagonal is not
    looked at. Takes memory for one more such matrix in float64.

    Source: nearest-neighbour chains (Murtagh, 1983), which join the same clusters in another order,
    but for the last two.
    """
    near = np.array(alike, dtype=np.float64)
    np.fill_diagonal(near, -np.inf)
    members = {row: [row] for row in range(len(near))}
    chain: list[int] = []
    while len(members) > 2:
        if not chain:
            chain.append(next(iter(members)))
        last = chain[-1]
        nearest = int(np.argmax(near[last]))
        if len(chain) < 2 or near[last, nearest] > near[last, chain[-2]]:
            chain.append(nearest)
            continue
        gone, kept = chain.pop(), chain.pop()
        few, many = len(members[gone]), len(members[kept])
        mean = (few * near[gone] + many * near[kept]) / (few + many)  # -inf to what is gone
        near[gone, :] = near[:, gone] = -np.inf
        near[kept, :] = near[:, kept] = mean
        members[kept] += members.pop(gone)
    one, other = sorted((sorted(part) for part in members.values()), key=lambda p: (len(p), p))
    return one, other


def _move(near: dict[int, dict[int, float]], old: tuple[int, int], new: int) -> None:
    """Let ``new`` be as near to the others as both ``old`` were in sum."""
    near[new] = {}
    for gone in old:
        for other, total in near.pop(gone).items():
            if other not in old:
                near[other].pop(gone)
                near[new][other] = near[other][new] = near[new].get(other, 0.0) + total
