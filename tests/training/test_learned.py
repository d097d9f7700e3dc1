"""What a run has seen: written down, handed on with its weights, refused where it gives away."""

from pathlib import Path

import pytest

pytest.importorskip("torch", reason="training needs torch")

from flukeprint.collection import Collection
from flukeprint.errors import FlukeprintError
from flukeprint.records import Split
from flukeprint.training.learned import keep_seen, seen_before, seen_by
from flukeprint.training.runfolder import RunFolder
from flukeprint.training.taught import Taught
from tests.tiny import table_of

TABLE = table_of(("a", "A"), ("b", "B"), ("c", "C"), ("d", "D"))
HASHES = {name: f"{name:0<64}" for name in "abcd"}
COLLECTION = Collection(TABLE, {}, HASHES, ())


def split(train: str, queries: str) -> Split:
    return Split("open-set", 0, "", tuple(train), tuple(train), tuple(queries))


def run_of(folder: Path) -> RunFolder:
    folder.mkdir()
    run = RunFolder(folder)
    run.config.touch()
    return run


def digits(names: str) -> set[str]:
    return {HASHES[name][:12] for name in names}


def test_what_was_seen_is_handed_on_with_the_weights(tmp_path: Path) -> None:
    first, second = run_of(tmp_path / "first"), run_of(tmp_path / "second")
    taught = (Taught("t.jpg", "t" * 12, "A"),)
    keep_seen(first, COLLECTION, split("a", "d"), taught, set())
    assert seen_by(first) == digits("a") | {"t" * 12}
    before = seen_before(str(first.weights), COLLECTION, split("bc", "d"))
    keep_seen(second, COLLECTION, split("bc", "d"), (), before)
    assert seen_by(second) == digits("abc") | {"t" * 12}
    keep_seen(second, COLLECTION, split("d", "a"), (), set())
    assert seen_by(second) == digits("abc") | {"t" * 12}, "a run that goes on has written it"


def test_weights_that_have_seen_what_is_kept_for_the_end_are_refused(tmp_path: Path) -> None:
    first = run_of(tmp_path / "first")
    keep_seen(first, COLLECTION, split("ab", "d"), (), set())
    with pytest.raises(FlukeprintError, match="weights.safetensors: has learned from photos that"):
        seen_before(str(first.weights), COLLECTION, split("ac", "b"))


def test_published_weights_have_seen_nothing_that_is_known_of(tmp_path: Path) -> None:
    first = run_of(tmp_path / "first")
    keep_seen(first, COLLECTION, split("a", "d"), (), set())
    for weights in ("", str(tmp_path / "vgg19.pth"), str(first.path / "vgg19.pth")):
        assert seen_before(weights, COLLECTION, split("bc", "a")) == set()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"photos": [1]}'])
def test_a_damaged_list_is_told(text: str, tmp_path: Path) -> None:
    run = run_of(tmp_path / "run")
    run.learned.write_text(text)
    with pytest.raises(FlukeprintError, match="learned.json"):
        seen_by(run)
