"""What models said is kept as it was, bound to the model."""

from __future__ import annotations

import numpy as np
import pytest

from flukeprint.catalogue import Catalogue, Shown
from flukeprint.errors import FlukeprintError
from flukeprint.records import Embeddings
from tests.catalogue.small import content
from tests.tiny import UNSEEN, seen


def unit(rng: np.random.Generator, rows: int, size: int = 8) -> np.ndarray:
    vectors = rng.standard_normal((rows, size)).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@pytest.mark.parametrize("half", [False, True])
def test_embeddings_come_back(book: Catalogue, rng: np.random.Generator, half: bool) -> None:
    vectors = unit(rng, 2)
    given = Embeddings(vectors, (content(5), content(1)), "m")
    assert book.keep_embeddings(given, half=half) == 2
    assert book.keep_embeddings(Embeddings(vectors[::-1], given.hashes, "m"), half=half) == 0
    found = book.embeddings("m")
    assert (found.hashes, found.model_id) == ((content(1), content(5)), "m")
    assert found.vectors.dtype == np.float32
    kept = vectors.astype(np.float16 if half else np.float32).astype(np.float32)
    np.testing.assert_array_equal(found.vectors, kept[::-1])
    assert len(book.embeddings("another").hashes) == 0


def test_embeddings_of_another_size_or_photo(book: Catalogue, rng: np.random.Generator) -> None:
    book.keep_embeddings(Embeddings(unit(rng, 1), (content(1),), "m"))
    with pytest.raises(FlukeprintError, match="embeddings of 4 numbers do not fit those"):
        book.keep_embeddings(Embeddings(unit(rng, 1, 4), (content(2),), "m"))
    with pytest.raises(FlukeprintError, match="is not in the catalogue; import it first"):
        book.keep_embeddings(Embeddings(unit(rng, 2), (content(2), content(9)), "m"))
    assert book.embeddings("m").hashes == (content(1),)


def test_looks_come_back(book: Catalogue) -> None:
    assert book.keep_looks("m", {content(1): seen(slope=0.125), content(2): UNSEEN}) == 2
    assert book.keep_looks("m", {content(1): UNSEEN}) == 0
    assert book.look(1, "m") == seen(slope=0.125)
    assert book.look(2, "m") == UNSEEN
    assert book.look(1, "another") is None


def test_a_ranking_of_what_is_not_there(book: Catalogue) -> None:
    with pytest.raises(FlukeprintError, match="no individual has the number 9"):
        book.keep_rankings("m", [Shown(1, ((9, 0.5),), 0.5)])
    with pytest.raises(FlukeprintError, match="no photo has the number 9"):
        book.keep_rankings("m", [Shown(9, ((1, 0.5),), 0.5)])
