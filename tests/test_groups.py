"""Groups worked out by hand on a circle, and what must hold of all of them."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flukeprint import groups
from flukeprint.decide import NEVER, Calibration
from flukeprint.groups import Group, find_groups, log_odds
from flukeprint.linkage import Cluster, halves, link

# Log-odds 10 s - 5: even at a cosine of a half, whatever the background.
PLAIN = Calibration(10.0, 0.0, -5.0, -9.0, 0.0)
EVEN_DEG = 60.0


def on_circle(*degrees: float) -> NDArray[np.float32]:
    """Unit vectors in the plane: the cosine of two is that of the angle between them."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def photos_of(found: list[Group]) -> list[tuple[int, ...]]:
    return [group.photos for group in found]


def test_the_log_odds_by_hand() -> None:
    by = Calibration(2.0, 4.0, 1.0, -1.0, 9.0, unlike_log_odds=-1.0)
    found = log_odds(np.array([0.5, -50.0]), np.array([0.25, 0.25]), by, 4)
    unlike = math.exp(-1.0) / 4
    assert found[0] == pytest.approx(math.log(math.exp(1.0 + 1.0 - 1.0) + unlike))
    assert found[1] == pytest.approx(math.log(unlike))
    # Among 4,000 whales log-odds fall by half of ln 4, and the chance of unlike photos is shared.
    (found,) = log_odds(np.array([0.5]), np.array([0.25]), replace(by, size_power=-0.5), 4_000)
    assert found == pytest.approx(math.log(math.exp(1.0) / 2 + math.exp(-1.0) / 4_000))


def test_a_group_its_pairs_and_its_probability_by_hand() -> None:
    (group,) = find_groups(on_circle(0, 20, 180, 50), PLAIN)
    assert group.photos == (0, 1, 3)
    assert [(p.first, p.second) for p in group.pairs] == [(0, 1), (1, 3), (0, 3)]
    cosines = [math.cos(math.radians(degrees)) for degrees in (20, 30, 50)]
    assert [p.similarity for p in group.pairs] == pytest.approx(cosines, abs=1e-6)
    odds = [10 * cosine - 5 for cosine in cosines]
    weakest = (odds[1] + odds[2]) / 2  # the third photo against both that were joined first
    assert group.probability == pytest.approx(1 / (1 + math.exp(-weakest)), abs=1e-6)


def test_one_weak_link_does_not_chain_two_groups() -> None:
    """10 and 60 degrees are alike enough, but the mean over all four pairs is not."""
    vectors = on_circle(0, 10, 65, 75)
    assert 10 * float(vectors[1] @ vectors[2]) - 5 > 0
    assert photos_of(find_groups(vectors, PLAIN)) == [(0, 1), (2, 3)]


def test_surest_groups_come_first() -> None:
    found = find_groups(on_circle(0, 20, 180, 181), PLAIN)
    assert photos_of(found) == [(2, 3), (0, 1)]
    assert found[0].probability > found[1].probability


def test_no_join_is_less_probable_than_asked() -> None:
    vectors = on_circle(0, EVEN_DEG - 5)
    ((_, even),) = [(g.photos, g.probability) for g in find_groups(vectors, PLAIN, least=0.5)]
    assert find_groups(vectors, PLAIN, least=even + 0.01) == []
    assert len(find_groups(vectors, PLAIN, least=even - 0.01)) == 1


def test_twins_and_encounters_go_together_whatever_they_look_like() -> None:
    vectors = on_circle(0, 180, 10)
    together = np.array([7, 7, 3])
    (group,) = find_groups(vectors, PLAIN, together=together)
    assert (group.photos, group.probability, group.pairs) == ((0, 1), 1.0, ())
    (both,) = find_groups(on_circle(0, 4, 10), PLAIN, together=together)
    assert both.photos == (0, 1, 2)
    assert [(p.first, p.second) for p in both.pairs] == [(1, 2), (0, 2)]


@pytest.mark.parametrize("least", [0.0, 1.0, -1.0, math.nan])
def test_a_least_that_is_no_probability(least: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        find_groups(on_circle(0, 1), PLAIN, least=least)


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_photos_to_group(count: int) -> None:
    assert find_groups(on_circle(*range(count)), PLAIN) == []


def test_a_match_has_to_stand_out_from_the_background() -> None:
    """The same cosine, among photos that are like nothing and among photos alike to all."""
    by = Calibration(10.0, 10.0, -1.0, -9.0, 0.0)
    vectors = on_circle(0, 30)
    assert len(find_groups(vectors, by, background=np.array([0.2, 0.2]))) == 1
    assert find_groups(vectors, by, background=np.array([0.9, 0.9])) == []


def test_a_few_photos_have_the_usual_background() -> None:
    vectors = on_circle(0, 30, 115, 200, 285)
    strict = Calibration(10.0, 10.0, -1.0, -9.0, usual_background=0.9)
    kind = Calibration(10.0, 10.0, -1.0, -9.0, usual_background=0.2)
    assert (len(find_groups(vectors, strict)), len(find_groups(vectors, kind))) == (0, 1)


def test_photos_of_one_whale_are_not_each_others_background() -> None:
    """Of eight photos among many strangers, the second to sixth are of their own whale."""
    rng = np.random.default_rng(5)
    strangers = rng.normal(size=(150, 64))
    whale = rng.normal(size=64) + 0.3 * rng.normal(size=(8, 64))
    raw = np.concatenate([whale, strangers])
    vectors = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    by = Calibration(20.0, 20.0, -5.0, -9.0, 0.0)
    assert photos_of(find_groups(vectors, by)) == [tuple(range(8))]
    nearest = -np.sort(-(vectors @ vectors.T), axis=1)[:, 2:7].mean(axis=1)
    assert find_groups(vectors, by, background=nearest.astype(np.float64)) == []


def test_the_background_by_hand() -> None:
    """Of mean and spread, twins left out, and as far above as the middle photo's nearest are."""
    rng = np.random.default_rng(6)
    raw = rng.normal(size=(9, 6))[np.arange(30) % 9] + 0.5 * rng.normal(size=(30, 6))
    vectors = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    together = np.arange(30) // 2
    by = Calibration(20.0, 20.0, 1.0, -9.0, 0.0)
    similar = (vectors @ vectors.T).astype(np.float64)
    others = [similar[row, together != together[row]] for row in range(30)]
    mean, spread = np.array([(one.mean(), one.std()) for one in others]).T
    nearest = np.array([np.sort(one)[-6:-1].mean() for one in others])
    background = mean + np.median((nearest - mean) / spread) * spread
    told = find_groups(vectors, by, together=together, background=background)
    found = find_groups(vectors, by, together=together)
    assert len(found) > 1 and any(group.pairs for group in found)
    assert photos_of(found) == photos_of(told)
    for one, two in zip(found, told, strict=True):
        assert one.pairs == two.pairs
        assert one.probability == pytest.approx(two.probability, abs=1e-5)


def test_blocks_and_few_neighbours_do_not_change_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vectors = on_circle(*(120 * (n % 3) + n for n in range(13)))
    whole = find_groups(vectors, PLAIN)
    assert sorted(len(group.photos) for group in whole) == [4, 4, 5]
    monkeypatch.setattr(groups, "BLOCK", 4)
    monkeypatch.setattr(groups, "NEAREST", 5)
    assert find_groups(vectors, PLAIN) == whole


def test_linkage_by_hand() -> None:
    """Things of 1, 2 and 3 photos; sums of log-odds above -4."""
    excess = {(0, 1): 12.0, (0, 2): 6.0, (1, 2): 15.0}
    (joined,) = link([1, 2, 3], excess, base=-4.0, least=-3.0)
    # 0 and 1 at -4 + 12/2 = 2; then with 2 at -4 + 21/9.
    assert joined.members == (0, 1, 2) and joined.weakest == pytest.approx(-5 / 3)
    two = [Cluster((0, 1), 2.0), Cluster((2,), math.inf)]
    assert link([1, 2, 3], excess, base=-4.0, least=-1.0) == two


def test_halves_by_hand() -> None:
    """0 and 1 join at 9, 2 and 3 at 8, 4 to the first at the mean of 3 and 4."""
    alike = np.full((5, 5), -5.0)
    for a, b, odds in ((0, 1, 9), (2, 3, 8), (0, 4, 3), (1, 4, 4)):
        alike[a, b] = alike[b, a] = odds
    assert halves(alike) == ([2, 3], [0, 1, 4])
    assert halves(alike[:2, :2]) == ([0], [1])


@given(st.integers(2, 40), st.integers(0, 2**32 - 1))
def test_halves_are_where_average_linkage_would_join_last(count: int, seed: int) -> None:
    upper = np.triu(np.random.default_rng(seed).normal(size=(count, count)), 1)
    alike = upper + upper.T
    parts = [[row] for row in range(count)]
    while len(parts) > 2:  # the highest mean over all pairs, again and again
        _, a, b = max(
            (float(alike[np.ix_(parts[a], parts[b])].mean()), a, b)
            for a in range(len(parts))
            for b in range(a)
        )
        parts[b] = sorted(parts[b] + parts.pop(a))
    assert halves(alike) == tuple(sorted(parts, key=lambda part: (len(part), part)))


def test_pairs_that_were_not_kept_count_as_unlike() -> None:
    """A chain of three: the ends know nothing of each other, so that they are at -10."""
    chain = {(0, 1): 15.0, (1, 2): 14.0}
    found = link([1, 1, 1], chain, base=-10.0, least=0.0)
    assert [cluster.members for cluster in found] == [(0, 1), (2,)]
    (one,) = link([1, 1, 1], chain, base=-10.0, least=-3.0)
    assert one.weakest == -10.0 + 14.0 / 2


@st.composite
def photos(draw: st.DrawFn) -> NDArray[np.float32]:
    """Some photos of some whales, unequal so that no two pairs are equally alike."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    whale = rng.integers(0, draw(st.integers(1, 8)), draw(st.integers(0, 24)))
    raw = rng.normal(size=(8, 6))[whale] + 0.7 * rng.normal(size=(len(whale), 6))
    return np.asarray(raw / np.linalg.norm(raw, axis=1, keepdims=True), dtype=np.float32)


@settings(max_examples=60, deadline=None)
@given(photos(), st.integers(0, 2**32 - 1), st.floats(0.1, 0.9))
def test_order_does_not_matter_and_no_photo_is_in_two_groups(
    vectors: NDArray[np.float32], seed: int, least: float
) -> None:
    rng = np.random.default_rng(seed)
    together = rng.integers(0, max(2 * len(vectors), 1), len(vectors))
    shuffled = rng.permutation(len(vectors))
    found = find_groups(vectors, PLAIN, together=together, least=least)
    again = find_groups(vectors[shuffled], PLAIN, together=together[shuffled], least=least)
    assert sorted(photos_of(found)) == sorted(
        tuple(sorted(shuffled[list(group.photos)].tolist())) for group in again
    )
    every = [row for group in found for row in group.photos]
    assert len(every) == len(set(every))
    probabilities = [group.probability for group in found]
    assert probabilities == sorted(probabilities, reverse=True)
    for group in found:
        assert len(group.photos) > 1 and group.probability >= least - 1e-9
        inside = set(group.photos)
        assert all({pair.first, pair.second} <= inside for pair in group.pairs)
        assert all(together[pair.first] != together[pair.second] for pair in group.pairs)
    home = {row: group.photos for group in found for row in group.photos}
    for row, number in enumerate(together.tolist()):
        others = set(np.flatnonzero(together == number).tolist()) - {row}
        assert not others or others < set(home[row])


def test_never_is_below_any_other_log_odds() -> None:
    """The floor of a calibration that has none must not lift anything."""
    assert PLAIN.unlike_log_odds == NEVER
    assert log_odds(np.array([-1.0]), np.array([0.0]), PLAIN, 1)[0] == pytest.approx(-15.0)
