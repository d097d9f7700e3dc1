"""What was seen in a photo is kept beside its embedding, to the last bit."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from flukeprint.cache import Cache
from flukeprint.records import Box, Fluke, Look, Quality
from tests.tiny import UNSEEN, seen

SHARE = st.floats(0.0, 1.0)
NUMBER = st.floats(allow_nan=False, allow_infinity=False)
BOXES = st.tuples(SHARE, SHARE, SHARE, SHARE).filter(
    lambda sides: sides[0] < sides[2] and sides[1] < sides[3]
)
LOOKS = st.builds(
    Look,
    st.builds(
        Fluke,
        BOXES.map(lambda sides: Box(*sides)),
        SHARE, st.floats(-1.0, 1.0), st.booleans(), st.integers(0, 143),
    ),
    st.builds(Quality, NUMBER, NUMBER, SHARE, SHARE, NUMBER, SHARE),
)  # fmt: skip


def vector(number: float) -> np.ndarray[tuple[int], np.dtype[np.float32]]:
    return np.full(4, number, dtype=np.float32)


def kept(folder: Path, looks: dict[str, Look]) -> Cache:
    """A cache with these looks, saved and read again."""
    fresh = Cache(folder, "m")
    for number, (sha256, look) in enumerate(looks.items()):
        fresh.add(sha256, vector(number), look)
    fresh.save()
    return Cache(folder, "m")


@given(st.lists(LOOKS, min_size=1, max_size=4))
def test_any_look_comes_back_as_it_was(looks: list[Look]) -> None:
    named = {f"{number:064}": look for number, look in enumerate(looks)}
    with tempfile.TemporaryDirectory() as folder:
        again = kept(Path(folder), named)
        for number, (sha256, look) in enumerate(named.items()):
            found, told = again[sha256]
            assert (found == vector(number)).all()
            assert told == look
            assert type(told.fluke.upside_down) is bool
            assert type(told.fluke.others) is int


def test_a_look_is_there_before_it_is_saved_and_without_a_folder() -> None:
    fresh = Cache(None, "m")
    fresh.add("a", vector(1), UNSEEN)
    assert fresh["a"][1] is UNSEEN
    fresh.save()
    assert fresh["a"][1] is UNSEEN


def test_looks_stay_with_their_photos_when_shards_are_merged(tmp_path: Path) -> None:
    fresh = Cache(tmp_path, "m")
    for number in range(40):
        fresh.add(f"{number}", vector(number), seen(number / 64, others=number))
        fresh.save()
    again = Cache(tmp_path, "m")
    for number in range(40):
        assert (again[f"{number}"][0] == number).all()
        assert again[f"{number}"][1] == seen(number / 64, others=number)


def shard(folder: Path, **changes: object) -> None:
    """A shard of two photos as an earlier flukeprint, or none, may have written it."""
    parts = {
        "model_id": np.array("m"),
        "hashes": np.array(["old", "older"]),
        "vectors": np.stack([vector(1), vector(2)]),
        **changes,
    }
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(folder / "0123456789abcdef.npz", **parts)  # type: ignore[arg-type]


def test_a_shard_without_looks_is_passed_over(tmp_path: Path) -> None:
    shard(tmp_path / "m")
    again = kept(tmp_path, {"new": seen()})
    assert "new" in again
    assert "old" not in again
    assert "older" not in again


def test_a_shard_whose_looks_cannot_be_is_passed_over(tmp_path: Path) -> None:
    upside = np.tile([0.5, 0.5, 0.25, 0.25, *[0.0] * 10], (2, 1))  # no box
    for looks in (np.zeros((2, 14)), upside, np.zeros((2, 9)), np.zeros((2, 20)), np.zeros(2)):
        shard(tmp_path / "m", looks=looks)
        again = Cache(tmp_path, "m")
        assert "old" not in again
        assert "older" not in again
