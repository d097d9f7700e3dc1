"""Scores on a case small enough to work out by hand, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Container
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flukeprint.decide import Calibration
from flukeprint.errors import FlukeprintError
from flukeprint.evaluate import (
    EmbeddedTable,
    ask,
    evaluate_split,
    evaluate_without_learning,
)
from flukeprint.model import Model
from flukeprint.records import NEW_WHALE, Embeddings, Split
from tests.tiny import TINY, seen, table_of

# Gallery: A twice, B, C once and one unidentified. Queries: A, B, C, and D whom it lacks.
TABLE = table_of(
    ("a1", "A"), ("a2", "A"), ("b1", "B"), ("c1", "C"), ("n1", NEW_WHALE),
    ("qa", "A"), ("qb", "B"), ("qc", "C"), ("qd", "D"),
)  # fmt: skip
GALLERY = ("a1", "a2", "b1", "c1", "n1")
QUERIES = ("qa", "qb", "qc", "qd")
SPLIT = Split("open-set", 0, "", GALLERY, GALLERY, QUERIES)
# Axes 0, 1, 2 are whales A, B, C, axis 3 the unidentified one, axis 4 nobody.
VECTORS = {
    "a1": [1, 0, 0, 0, 0], "a2": [1, 0, 0, 0, 0], "b1": [0, 1, 0, 0, 0], "c1": [0, 0, 1, 0, 0],
    "n1": [0, 0, 0, 1, 0],
    "qa": [1, 0, 0, 0, 0],  # A first
    "qb": [0.8, 0.6, 0, 0, 0],  # A before B: place 2
    "qc": [0.6, 0.5, 0.4, 0, 0.48],  # A, B, C: place 3
    "qd": [0, 0, 0, 0, 1],  # like nobody: new first
}  # fmt: skip
MODEL = Model("m" * 64, replace(TINY, embedding_size=5), b"", None)
# Whales outweigh new where their cosine is over 0.3 + ln(3)/20; no photo count, no new photo.
CALIBRATION = Calibration(20.0, 0.0, -6.0, -30.0, 0.0)


# The queries' photos are the better the later.
QUALITY = {"qa": 0.25, "qb": 0.375, "qc": 0.5, "qd": 0.625}


def embedded(model_id: str = MODEL.id, unseen: Container[str] = ()) -> EmbeddedTable:
    """The table with its embeddings; the photos in ``unseen`` show no fluke."""
    names = list(VECTORS)
    vectors = np.array([VECTORS[name] for name in names], dtype=np.float32)
    hashes = tuple(f"{name:0<64}" for name in names)
    looks = tuple(
        seen(QUALITY.get(name, 0.0), probability=0.25 if name in unseen else 1.0) for name in names
    )
    rows = {name: row for row, name in enumerate(names)}
    return EmbeddedTable(TABLE, Embeddings(vectors, hashes, model_id), rows, looks)


def test_the_truth_is_new_where_the_gallery_lacks_the_whale() -> None:
    asked = ask(SPLIT, TABLE, set(VECTORS))
    assert asked.names == QUERIES
    assert asked.labels == ("A", "B", "C", NEW_WHALE)
    assert asked.whales == ("A", "B", "C", "D")


def test_a_whale_whose_gallery_photos_cannot_be_read_is_not_there() -> None:
    assert ask(SPLIT, TABLE, set(VECTORS) - {"b1"}).labels == ("A", NEW_WHALE, "C", NEW_WHALE)


def test_without_a_query_there_is_nothing_to_score() -> None:
    with pytest.raises(FlukeprintError, match="not one query could be read"):
        ask(SPLIT, TABLE, set(GALLERY))


def test_scores_by_hand() -> None:
    report = evaluate_split(MODEL, SPLIT, embedded(), CALIBRATION)
    value = {name: interval.value for name, interval in report.metrics.items()}
    assert [row["place"] for row in report.queries] == [1, 2, 3, 1]
    assert value["map5"] == pytest.approx((1 + 1 / 2 + 1 / 3 + 1) / 4)
    assert value["top1_known"] == pytest.approx(1 / 3)
    assert value["top5_known"] == 1.0
    assert value["auroc_known"] == 1.0
    # First answers A A A new: precision A 1/3, new 1; recall A 1, new 1; B and C 0.
    assert value["precision_macro"] == pytest.approx((1 / 3 + 1) / 4)
    assert value["recall_macro"] == pytest.approx(2 / 4)
    assert value["f1_weighted"] == pytest.approx((1 / 2 + 1) / 4)
    assert report.confused == [("B", "A", 1), ("C", "A", 1)]
    counts = (report.gallery_photos, report.gallery_whales, report.queries_known)
    assert (*counts, report.queries_new) == (5, 3, 3, 1)


def test_a_row_for_each_query() -> None:
    first = evaluate_split(MODEL, SPLIT, embedded(), CALIBRATION).queries[0]
    assert list(first) == [
        "photo", "truth", "place", "new", "probability", "quality",
        *(f"answer_{n}" for n in range(1, 5)),
    ]  # fmt: skip
    assert (first["photo"], first["truth"], first["answer_1"]) == ("qa", "A", "A")
    assert first["quality"] == 0.25
    assert 0.5 < first["probability"] <= 1 - first["new"]


def test_a_query_without_a_fluke_is_scored_by_the_guess() -> None:
    whole = evaluate_split(MODEL, SPLIT, embedded(), CALIBRATION)
    report = evaluate_split(MODEL, SPLIT, embedded(unseen=("qb", "qd")), CALIBRATION)
    assert (whole.no_fluke, report.no_fluke) == (0, 2)
    assert report == replace(whole, no_fluke=2)


def test_a_gallery_photo_without_a_fluke_still_counts() -> None:
    whole = evaluate_split(MODEL, SPLIT, embedded(), CALIBRATION)
    report = evaluate_split(MODEL, SPLIT, embedded(unseen=GALLERY), CALIBRATION)
    assert report == whole


def test_bands_of_quality_by_hand() -> None:
    """Of four queries the worst third has two: places 1 and 2, 3, and 1 of a new whale."""
    bands = evaluate_split(MODEL, SPLIT, embedded(), CALIBRATION).bands
    assert [band["quality"] for band in bands] == [[0.25, 0.375], [0.5, 0.5], [0.625, 0.625]]
    assert [(band["queries_known"], band["queries_new"]) for band in bands] == [
        (2, 0), (1, 0), (0, 1),
    ]  # fmt: skip
    assert [band["map5"] for band in bands] == pytest.approx([3 / 4, 1 / 3, 1.0])
    assert [band["top1_known"] for band in bands] == [0.5, 0.0, None]


def test_fewer_queries_have_fewer_bands_and_no_model_has_none() -> None:
    one = evaluate_split(MODEL, replace(SPLIT, queries=("qb",)), embedded(), CALIBRATION)
    assert [band["quality"] for band in one.bands] == [[0.375, 0.375]]
    assert all(not r.bands for r in evaluate_without_learning(SPLIT, TABLE, twins_of_none()))


def twins_of_none() -> dict[str, int]:
    """Each photo in a group of its own."""
    return {name: number for number, name in enumerate(VECTORS)}


def test_the_summary_is_json_even_where_a_measure_has_no_value() -> None:
    known = replace(SPLIT, queries=("qa", "qb"))
    report = evaluate_split(MODEL, known, embedded(), CALIBRATION)
    assert np.isnan(report.metrics["auroc_known"].value)
    output = json.loads(json.dumps(report.summary(), allow_nan=False))
    assert output["metrics"]["auroc_known"]["value"] is None
    assert "queries" not in output


def test_another_models_embeddings_are_refused() -> None:
    with pytest.raises(FlukeprintError, match="made by another model; embed again"):
        evaluate_split(MODEL, SPLIT, embedded("x" * 64), CALIBRATION)


def test_queries_that_were_trained_on_are_refused() -> None:
    seen = replace(MODEL.manifest, trained_on=("qc0000000000", "ffffffffffff"))
    with pytest.raises(FlukeprintError, match="1 of 4 queries were seen .* such as 'qc'"):
        evaluate_split(replace(MODEL, manifest=seen), SPLIT, embedded(), CALIBRATION)


def test_a_gallery_without_a_readable_photo_is_an_error() -> None:
    few = replace(embedded(), row_of=dict.fromkeys(QUERIES, 0))
    with pytest.raises(FlukeprintError, match="not one gallery photo could be read"):
        evaluate_split(MODEL, SPLIT, few, CALIBRATION)


def test_a_softmax_model_that_was_never_taught_a_whale_can_be_scored() -> None:
    manifest = replace(TINY, kind="softmax", classes=("A", "B", NEW_WHALE, "X", "Y"))
    model = Model(MODEL.id, replace(manifest, embedding_size=5), b"", None)
    report = evaluate_split(model, SPLIT, embedded(), CALIBRATION)
    assert report.queries[0]["answer_1"] == "A"
    assert report.queries[2]["place"] in (0, 3, 4)


def only(names: tuple[str, ...]) -> EmbeddedTable:
    """As if no other photo had been embedded."""
    whole = embedded()
    rows = [whole.row_of[name] for name in names]
    some = Embeddings(
        whole.embeddings.vectors[rows], tuple(whole.embeddings.hashes[r] for r in rows), MODEL.id
    )
    rows_of = {name: row for row, name in enumerate(names)}
    return EmbeddedTable(TABLE, some, rows_of, tuple(whole.looks[row] for row in rows))


@pytest.mark.parametrize(
    "classes",
    [
        ("A", "B", "C", NEW_WHALE, "Z"),
        ("A", "B", NEW_WHALE, "X", "Y"),  # never taught C, taught two that the gallery lacks
        ("C", "Z", "Y", "B", "A"),
    ],
)
def test_a_softmax_model_needs_no_embedded_gallery(classes: tuple[str, ...]) -> None:
    model = replace(MODEL, manifest=replace(MODEL.manifest, kind="softmax", classes=classes))
    report = evaluate_split(model, SPLIT, only(QUERIES), CALIBRATION)
    assert report == evaluate_split(model, SPLIT, embedded(), CALIBRATION)
    assert (report.gallery_photos, report.gallery_whales) == (5, 3)
    assert (report.queries_known, report.queries_new) == (3, 1)


def test_an_embedding_model_does_need_it() -> None:
    with pytest.raises(FlukeprintError, match="not one gallery photo could be read"):
        evaluate_split(MODEL, SPLIT, only(QUERIES), CALIBRATION)


def test_answers_that_need_no_learning() -> None:
    """Twins: qa of a2; qd of n1."""
    twins = twins_of_none() | {"qa": 1, "qd": 4}
    reports = {r.system: r for r in evaluate_without_learning(SPLIT, TABLE, twins)}
    places = {name: [row["place"] for row in r.queries] for name, r in reports.items()}
    assert places == {
        "new_whale first": [2, 3, 4, 1],  # new, A, B, C
        "most frequent whales": [1, 2, 3, 4],  # A, B, C, new
        "twins' labels, new_whale": [1, 3, 4, 1],  # qa: A, new; qb: new, A, B, C; qd: new
    }
    value = reports["new_whale first"].metrics["map5"].value
    assert value == pytest.approx((1 / 2 + 1 / 3 + 1 / 4 + 1) / 4)


def test_unreadable_photos_are_in_no_answer() -> None:
    readable = {name: number for number, name in enumerate(VECTORS) if name not in ("qa", "b1")}
    (report, *_) = evaluate_without_learning(SPLIT, TABLE, readable)
    assert [row["photo"] for row in report.queries] == ["qb", "qc", "qd"]
    assert report.gallery_whales == 2


def test_names_of_queries_come_from_the_split_not_the_disk(tmp_path: Path) -> None:
    """Nothing is read: the table's photos do not exist."""
    assert not any(row.path.exists() for row in TABLE.rows)
    assert evaluate_split(MODEL, SPLIT, embedded(), CALIBRATION).system == "flukeprint"
