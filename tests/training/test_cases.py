"""The cases that a calibration is fitted to, by hand where they are few."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs torch")

from flukeprint.errors import FlukeprintError
from flukeprint.evaluate import EmbeddedTable
from flukeprint.records import NEW_WHALE, WHOLE, Embeddings, Fluke, Look, Quality, Split
from flukeprint.training.calibration import fit_calibration
from flukeprint.training.cases import real_cases, strange_cases
from tests.tiny import TINY, table_of

TABLE = table_of(
    ("a1", "A"), ("b1", "B"), ("c1", "C"), ("n1", NEW_WHALE),
    ("qa", "A"), ("qb", "B"), ("qc", "C"), ("qd", "D"),
)  # fmt: skip
GALLERY, QUERIES = ("a1", "b1", "c1", "n1"), ("qa", "qb", "qc", "qd")
SPLIT = Split("open-set", 0, "", GALLERY, GALLERY, QUERIES)
LOOK = Look(Fluke(WHOLE), Quality(96.0, 64.0, 0.5, 0.5, 0.0, 0.5))


def embedded(vectors: Mapping[str, Sequence[float]]) -> EmbeddedTable:
    rows = np.array(list(vectors.values()), dtype=np.float32)
    hashes = tuple(f"{name:0<64}" for name in vectors)
    return EmbeddedTable(
        TABLE,
        Embeddings(rows, hashes, "m" * 64),
        {name: row for row, name in enumerate(vectors)},
        (LOOK,) * len(vectors),
    )


def test_a_softmax_models_cases_are_its_logits() -> None:
    """Taught B, A and the unidentified, not C: then C is as new to it as D."""
    classes = ("B", NEW_WHALE, "A")
    manifest = replace(TINY, kind="softmax", classes=classes, embedding_size=3)
    logits = {"qa": [1, 2, 9], "qb": [8, 3, 0], "qc": [4, 5, 6], "qd": [-1, 7, -2]}
    (case,) = real_cases(SPLIT, embedded(logits), manifest)
    assert case.likeness.whales.tolist() == [[9, 1], [0, 8], [6, 4], [-2, -1]]  # A, B
    assert case.likeness.new.tolist() == [2, 3, 5, 7]
    assert case.truth.tolist() == [0, 1, -1, -1]
    assert case.weight == 2.0
    assert all(np.isfinite(list(fit_calibration([case], "softmax").to_dict().values())))


def test_a_softmax_model_without_a_class_of_new_ones() -> None:
    manifest = replace(TINY, kind="softmax", classes=("A", "B", "C"), embedding_size=3)
    logits = {name: [1, 2, 3] for name in QUERIES}
    (case,) = real_cases(SPLIT, embedded(logits), manifest)
    assert case.truth.tolist() == [0, 1, 2, -1]
    assert np.isneginf(case.likeness.new).all()


def test_an_embedding_models_cases_are_its_cosines() -> None:
    axes = dict(zip("ABCDN", np.eye(5).tolist(), strict=True))
    vectors = {name: axes[name[-1].upper()] for name in QUERIES}
    vectors |= {name: axes[name[0].upper()] for name in GALLERY}
    (case,) = real_cases(SPLIT, embedded(vectors), TINY)
    assert case.likeness.whales.tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]]
    assert case.likeness.new.tolist() == [0, 0, 0, 0]
    assert case.truth.tolist() == [0, 1, 2, -1]


def test_an_embedding_model_needs_its_gallery() -> None:
    with pytest.raises(FlukeprintError, match="not one gallery photo could be read"):
        real_cases(SPLIT, embedded({name: [1.0] for name in QUERIES}), TINY)


def test_whales_kept_from_training_make_a_strange_catalogue() -> None:
    """D and E were not trained on: one photo of each is asked about, one compared with."""
    table = table_of(*((f"{whale}{n}", whale) for whale in "ABDE" for n in range(2)))
    names = [row.name for row in table.rows]
    axes = dict(zip("ABDE", np.eye(4).tolist(), strict=True))
    seen = replace(embedded({name: axes[name[0]] for name in names}), table=table)
    train, gallery, queries = names[:4], names[:4], names[4:]
    split = Split("open-set", 0, "", tuple(train), tuple(gallery), tuple(queries))
    twins = {name: number for number, name in enumerate(names)}
    (case,) = strange_cases(split, seen, twins, TINY)
    assert case.likeness.whales.tolist() == [[1, 0], [0, 1]]  # D, E
    assert (case.truth.tolist(), case.weight) == ([0, 1], 1.0)


def test_there_is_no_strange_catalogue_of_trained_whales_or_for_classifiers() -> None:
    twins = {row.name: number for number, row in enumerate(TABLE.rows)}
    seen = embedded({row.name: [1.0, 0.0] for row in TABLE.rows})
    assert strange_cases(SPLIT, seen, twins, TINY) == []
    assert strange_cases(replace(SPLIT, protocol="kfold"), seen, twins, TINY) == []
    assert strange_cases(SPLIT, seen, twins, replace(TINY, kind="softmax", classes=("A",))) == []
