"""Suspicions worked out by hand on one-hot mixtures, and what must hold of all of them."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flukeprint import compared
from flukeprint.compared import compare_photos
from flukeprint.decide import Calibration, believe
from flukeprint.groups import log_odds
from flukeprint.rank import Likeness, compare, index_gallery
from flukeprint.suspicions import (
    KINDS,
    TWINS,
    TWO_NAMES,
    TWO_WHALES,
    WRONG_NAME,
    Audit,
    Suspicion,
    audit,
)

# Log-odds 10 s - 5, whatever the background.
PLAIN = Calibration(10.0, 0.0, -5.0, -9.0, 0.0)
STRICT = Calibration(20.0, 14.0, -6.0, -9.0, 0.2, unlike_log_odds=-2.0)
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


def mixed(*photos: dict[int, float]) -> Floats:
    """Photos as mixtures of whales' axes, at length 1; what is left goes to an axis of its own."""
    vectors = np.zeros((len(photos), 10 + len(photos)), dtype=np.float32)
    for row, shares in enumerate(photos):
        for axis, share in shares.items():
            vectors[row, axis] = share
        vectors[row, 10 + row] = math.sqrt(1 - sum(share**2 for share in shares.values()))
    return vectors


def of(found: Audit, kind: str) -> list[Suspicion]:
    return [one for one in found.suspicions if one.kind == kind]


def apart(count: int) -> Ints:
    return np.arange(count, dtype=np.int64)


def owned(*owners: int) -> Ints:
    return np.array(owners, dtype=np.int64)


# Whale 4 has its photos under 4 and 9, and 7 has two whales; its last photo is one of whale 2.
FAULTY = mixed(
    {0: 0.9}, {0: 0.8}, {0: 0.9}, {1: 0.9}, {1: 0.9}, {2: 0.9}, {2: 0.9}, {2: 0.8}, {3: 0.9}
)
OWNERS = owned(4, 9, 4, 7, 7, 2, 2, 7, 5)


def test_what_a_person_confirmed_is_not_suspected() -> None:
    """Photo 7 is suspected of both; of two to split off, one is not all."""
    whole = audit(FAULTY, OWNERS, apart(9), PLAIN)
    for rows in ([7], [3], [6, 7]):
        settled = np.isin(apart(9), rows)
        found = audit(FAULTY, OWNERS, apart(9), PLAIN, settled=settled)
        assert found.judged == whole.judged
        assert found.suspicions == tuple(
            one
            for one in whole.suspicions
            if one.kind not in (WRONG_NAME, TWO_WHALES) or not {*one.photos} <= {*rows}
        )
    few = audit(FAULTY, OWNERS, apart(9), PLAIN, 1, np.isin(apart(9), [7]))
    assert [len(of(few, kind)) for kind in KINDS] == [1, 1, 1, 0]


def test_one_whale_under_two_names() -> None:
    found = of(audit(FAULTY, OWNERS, apart(9), PLAIN), TWO_NAMES)
    assert len(found) == 10
    first = found[0]
    assert first.individuals == (4, 9)
    assert first.photos == (0, 1, 2)
    assert [(p.first, p.second) for p in first.evidence] == [(0, 1), (1, 2)]
    assert [p.similarity for p in first.evidence] == pytest.approx([0.72, 0.72])
    # Of 9's photo: halfway between its best photo and the direction of both.
    both = FAULTY[0] + FAULTY[2]
    whole = (0.72 + float(FAULTY[1] @ both) / float(np.linalg.norm(both))) / 2
    assert first.strength == pytest.approx(((10 * 0.72 - 5) + (10 * whole - 5)) / 2, abs=1e-5)


def test_a_photo_under_a_wrong_name() -> None:
    found = of(audit(FAULTY, OWNERS, apart(9), PLAIN), WRONG_NAME)
    first = found[0]
    assert (first.individuals, first.photos) == ((7, 2), (7,))
    assert [(p.first, p.second) for p in first.evidence] == [(5, 7), (6, 7), (3, 7)]
    assert [p.similarity for p in first.evidence] == pytest.approx([0.72, 0.72, 0.0])
    direction = FAULTY[5] + FAULTY[6]
    other = (0.72 + float(FAULTY[7] @ direction) / float(np.linalg.norm(direction))) / 2
    assert first.strength == pytest.approx((10 * other - 5) - (-5), abs=1e-5)


def test_a_whales_only_photo_is_under_no_wrong_name() -> None:
    """It is all that its whale has: then that whale has two names."""
    found = of(audit(FAULTY, OWNERS, apart(9), PLAIN), WRONG_NAME)
    assert sorted(one.photos[0] for one in found) == [0, 2, 3, 4, 5, 6, 7]


def test_two_whales_under_one_name() -> None:
    found = of(audit(FAULTY, OWNERS, apart(9), PLAIN), TWO_WHALES)
    assert [one.individuals for one in found] == [(7,), (2,), (4,)]
    assert [one.photos for one in found] == [(7,), (5,), (0,)]
    assert [(p.first, p.second) for p in found[0].evidence] == [(3, 7), (4, 7)]
    assert found[0].strength == pytest.approx(math.log(2) + 5, abs=1e-5)
    assert found[1].strength == pytest.approx(-(10 * 0.81 - 5), abs=1e-5)


def test_the_fewer_photos_are_split_off() -> None:
    vectors = mixed({0: 0.9}, {1: 0.9}, {0: 0.8}, {1: 0.8}, {0: 0.9}, {3: 0.9})
    (first,) = of(audit(vectors, owned(1, 1, 1, 1, 1, 2), apart(6), PLAIN), TWO_WHALES)
    assert first.photos == (1, 3)
    assert first.strength == pytest.approx(math.log(6) + 5, abs=1e-5)


def test_of_two_names_as_unlike_the_one_with_more_photos_comes_first() -> None:
    vectors = mixed({0: 0.9}, {1: 0.9}, {2: 0.9}, {3: 0.9}, {2: 0.9}, {3: 0.9})
    found = of(audit(vectors, owned(1, 1, 2, 2, 2, 2), apart(6), PLAIN), TWO_WHALES)
    assert [one.individuals for one in found] == [(2,), (1,)]


def test_identical_photos_under_two_names() -> None:
    vectors = mixed({0: 0.9}, {0: 0.9}, {1: 0.9}, {1: 0.9}, {2: 0.9})
    twins = owned(1, 1, 2, 2, 1)
    found = audit(vectors, owned(8, 3, 4, 4, -1), twins, PLAIN)
    (one,) = of(found, TWINS)
    assert (one.individuals, one.photos) == ((3, 8), (0, 1))
    assert [(p.first, p.second) for p in one.evidence] == [(0, 1)]
    assert one.strength == pytest.approx(10 * 0.81 - 5, abs=1e-5)
    assert found.judged == {TWO_NAMES: 0, TWO_WHALES: 0, WRONG_NAME: 0, TWINS: 1}


def test_twins_under_two_names_are_as_sure_as_the_two_least_alike() -> None:
    vectors = mixed({0: 1.0}, {0: 0.9}, {0: 0.6}, {0: 0.99})
    (one,) = of(audit(vectors, owned(1, 2, 2, 1), owned(5, 5, 5, 5), PLAIN), TWINS)
    assert one.strength == pytest.approx(10 * 0.6 * 0.99 - 5, abs=1e-5)
    assert [(p.first, p.second) for p in one.evidence] == [(0, 1), (1, 3), (0, 2)]


def test_unidentified_photos_are_not_judged() -> None:
    without = audit(FAULTY, OWNERS, apart(9), STRICT)
    vectors = np.concatenate([FAULTY, FAULTY])
    owners = np.concatenate([OWNERS, np.full(9, -1)])
    assert audit(vectors, owners, apart(18), STRICT) == without


def test_how_many_were_judged() -> None:
    found = audit(FAULTY, OWNERS, apart(9), PLAIN)
    assert found.judged == {TWO_NAMES: 10, TWO_WHALES: 3, WRONG_NAME: 7, TWINS: 0}


def test_the_strongest_of_each_kind_are_kept_and_come_first() -> None:
    whole = audit(FAULTY, OWNERS, apart(9), STRICT)
    few = audit(FAULTY, OWNERS, apart(9), STRICT, most=2)
    for kind in KINDS:
        assert of(few, kind) == of(whole, kind)[:2]
    strengths = [one.strength for one in whole.suspicions]
    assert all(one >= two for one, two in pairwise(strengths))
    assert audit(FAULTY, OWNERS, apart(9), STRICT, most=0).suspicions == ()


def test_as_many_as_asked_where_all_are_equally_unlike() -> None:
    """Strangers on axes of their own: all pairs of whales are alike to the last bit."""
    found = of(audit(np.eye(40, dtype=np.float32), apart(40), apart(40), PLAIN, most=5), TWO_NAMES)
    assert [one.individuals for one in found] == [(0, n) for n in range(1, 6)]


@pytest.mark.parametrize("owners", [(), (3,), (-1, -1), (3, 3)])
def test_a_catalogue_with_no_other_whale(owners: tuple[int, ...]) -> None:
    found = audit(FAULTY[: len(owners)], owned(*owners), apart(len(owners)), PLAIN)
    assert [one.kind for one in found.suspicions] == [TWO_WHALES] * (owners == (3, 3))


def test_a_match_is_weighed_as_an_identification_is() -> None:
    """The log-odds of two whales differ as their probabilities by `believe` do."""
    rng = np.random.default_rng(3)
    raw = rng.normal(size=(30, 6)).astype(np.float32)
    vectors = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    likeness = compare(vectors[:1], index_gallery(vectors[1:], list("abcdefghijklm" * 2 + "nop"),
                                                  [str(n) for n in range(29)]))  # fmt: skip
    one = Likeness(likeness.whales, likeness.new)
    odds = log_odds(one.whales[0], one.background(), STRICT, one.whales.shape[1])
    shares = np.log(believe(one, STRICT).whales[0])
    assert np.diff(odds) == pytest.approx(np.diff(shares), abs=1e-6)


def test_the_background_leaves_out_the_own_whale_and_the_likest_other() -> None:
    vectors = mixed({0: 0.9, 1: 0.4}, {0: 0.9}, {1: 0.9}, {1: 0.5}, {1: 0.25})
    found = compare_photos(vectors, apart(5), owned(0, 0, 1, 2, 3), STRICT)
    assert found.background[0] == pytest.approx((0.4 * 0.5 + 0.4 * 0.25) / 2, abs=1e-6)


def test_whose_it_more_likely_is_is_never_its_owner() -> None:
    """Not even where it is as unlike its own whale as the other, and as unlike as can be."""
    steep = Calibration(400.0, 0.0, -200.0, -9.0, 0.0, unlike_log_odds=-2.0)
    found = of(audit(np.eye(3, dtype=np.float32), owned(1, 1, 2), apart(3), steep), WRONG_NAME)
    assert [one.individuals for one in found] == [(1, 2), (1, 2)]
    assert [one.strength for one in found] == [0.0, 0.0]


def test_blocks_do_not_change_the_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(8)
    raw = rng.normal(size=(60, 8)).astype(np.float32)
    vectors = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    owners = rng.integers(0, 20, 60)
    whole = audit(vectors, owners, apart(60), STRICT)
    for block in (1, 7):
        monkeypatch.setattr(compared, "BLOCK", block)
        assert_alike(audit(vectors, owners, apart(60), STRICT), whole)


def assert_alike(left: Audit, right: Audit, row_of: Ints | None = None) -> None:
    """The same suspicions, strengths apart by rounding; rows of ``left`` named by ``row_of``."""
    assert left.judged == right.judged

    def named(found: Audit, rows: Ints | None) -> dict[object, float]:
        return {
            (one.kind, one.individuals, frozenset(one.photos if rows is None
                                                  else rows[list(one.photos)].tolist())):
            one.strength
            for one in found.suspicions
        }  # fmt: skip

    ours, theirs = named(left, row_of), named(right, None)
    assert ours.keys() == theirs.keys()
    assert all(ours[key] == pytest.approx(theirs[key], abs=1e-3) for key in ours)


@st.composite
def catalogues(draw: st.DrawFn) -> tuple[Floats, Ints, int]:
    """Photos with owners, some wrong, some unidentified; and a seed."""
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, draw(st.integers(1, 7)), draw(st.integers(1, 20)))
    raw = rng.normal(size=(7, 8))[truth] + 0.6 * rng.normal(size=(len(truth), 8))
    vectors = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
    lot = rng.random(len(truth))
    owners = np.where(lot < 0.2, rng.integers(0, 9, len(truth)), truth)
    return vectors, np.where(lot > 0.9, -1, owners).astype(np.int64), seed


@settings(max_examples=60, deadline=None)
@given(catalogues())
def test_order_does_not_matter(case: tuple[Floats, Ints, int]) -> None:
    vectors, owners, seed = case
    rng = np.random.default_rng(seed + 1)
    shuffled = rng.permutation(len(owners))
    again = audit(vectors[shuffled], owners[shuffled], apart(len(owners)), STRICT)
    whole = audit(vectors, owners, apart(len(owners)), STRICT)
    if all(len(one.photos) * 2 < (owners == one.individuals[0]).sum()
           for one in of(whole, TWO_WHALES)):  # fmt: skip
        assert_alike(again, whole, shuffled)
    else:  # of two halves with as many photos either may be split off
        assert again.judged == whole.judged
        for kind in (TWO_NAMES, WRONG_NAME):
            assert [o.individuals for o in of(again, kind)] == [
                o.individuals for o in of(whole, kind)
            ]


@settings(max_examples=60, deadline=None)
@given(catalogues())
def test_twins_are_no_evidence(case: tuple[Floats, Ints, int]) -> None:
    """Copies filed beside their photos change nothing, and no evidence is a photo and its copy."""
    vectors, owners, seed = case
    rng = np.random.default_rng(seed + 2)
    copied = rng.integers(0, len(owners), 5)
    more = np.concatenate([vectors, vectors[copied]])
    filed = np.concatenate([owners, owners[copied]])
    twins = np.concatenate([apart(len(owners)), copied])
    found = audit(more, filed, twins, STRICT)
    assert found.judged == audit(vectors, owners, apart(len(owners)), STRICT).judged
    assert found.suspicions == audit(vectors, owners, apart(len(owners)), STRICT).suspicions


@settings(max_examples=60, deadline=None)
@given(catalogues(), st.integers(1, 6))
def test_what_suspicions_name_is_there(case: tuple[Floats, Ints, int], sets: int) -> None:
    vectors, owners, seed = case
    twins = np.random.default_rng(seed + 3).integers(0, sets * 3, len(owners))
    for one in audit(vectors, owners, twins, STRICT).suspicions:
        names, photos = set(one.individuals), set(one.photos)
        assert -1 not in names and math.isfinite(one.strength)
        assert len(photos) == len(one.photos) and {int(owners[p]) for p in photos} <= names
        assert 0 < len(one.evidence) <= 3
        for pair in one.evidence:
            assert pair.first < pair.second
            assert {int(owners[pair.first]), int(owners[pair.second])} <= names
            assert (twins[pair.first] == twins[pair.second]) == (one.kind == TWINS)
            cosine = float(vectors[pair.first] @ vectors[pair.second])
            assert pair.similarity == pytest.approx(cosine, abs=1e-5)
        if one.kind == TWO_WHALES:
            assert len(photos) * 2 <= (owners == one.individuals[0]).sum()
            assert all((p.first in photos) != (p.second in photos) for p in one.evidence)
