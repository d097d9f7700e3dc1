"""Identification against a catalogue, with a model whose answers can be foreseen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flukeprint.catalogue import (
    Catalogue,
    CorrectBox,
    Different,
    Merge,
    New,
    NoWhale,
    Same,
    bring_in,
    check,
    from_files,
    from_table,
)
from flukeprint.catalogued import CatalogueGallery, Row, gallery_rows, table_of
from flukeprint.errors import FlukeprintError
from flukeprint.identify import identify
from flukeprint.model import Model
from flukeprint.network import Network
from flukeprint.records import NEW_WHALE, Box
from flukeprint.resight import Asked, read_encounters, resight, unidentified
from flukeprint.tables import read_table
from tests.tiny import dark, make_picky_model, picture

Shoot = Callable[[int], Path]


@pytest.fixture
def network(tiny_model: Model) -> Network:
    return Network(tiny_model)


@pytest.fixture
def shoot(tmp_path: Path, write_picture: Callable[..., Path]) -> Shoot:
    """A photo of a seed's scene, lossless: the catalogue has it as JPEG."""
    return lambda seed: write_picture(tmp_path / "queries" / f"{seed}.png", picture(seed))


@pytest.fixture
def book(kaggle: Path, tmp_path: Path) -> Iterator[Catalogue]:
    """The small collection: w_a has photos 1 and 2, w_b 3, w_c 6; 4 and 5 are ``new_whale``."""
    with Catalogue.create(tmp_path / "book", root=kaggle) as made:
        bring_in(made, from_table(read_table(kaggle)), who="Ann")
        yield made


def bring(book: Catalogue, *paths: Path, encounter: str = "") -> list[int]:
    """Add photos to a catalogue; their numbers."""
    bring_in(book, from_files(paths, {"encounter": encounter}), who="Ann")
    found = [book.photo_at(path) for path in paths]
    assert None not in found
    return [number for number in found if number]


def test_a_photo_whose_first_file_is_gone_is_shown_by_its_second(
    book: Catalogue, kaggle: Path
) -> None:
    copy = kaggle / "train" / "another.jpg"
    copy.write_bytes((kaggle / "train" / "4.jpg").read_bytes())
    bring(book, copy)
    (kaggle / "train" / "4.jpg").unlink()
    table = table_of(book, book.photos(), book.individuals())
    (row,) = [row for row in table.rows if row.individual == "w_b"]
    assert row.path == copy


def test_leaving_out_photos_of_nobodys_is_as_making_the_index_without_them(
    rng: np.random.Generator,
) -> None:
    labels = ["b", NEW_WHALE, "a", NEW_WHALE, "b", NEW_WHALE]
    rows = [Row(f"h{place}", label, f"{place}.jpg", "") for place, label in enumerate(labels)]
    vectors = rng.normal(size=(6, 4)).astype(np.float32)
    of = {row.sha256: vector for row, vector in zip(rows, vectors, strict=True)}
    gallery = CatalogueGallery(rows, of)
    for gone in ({"h3"}, {"h1", "h5"}, {"h1", "h3", "h5"}, {"h1", "h2"}, {"h0"}):
        found = gallery.without(frozenset(gone), frozenset())
        expected = CatalogueGallery([row for row in rows if row.sha256 not in gone], of).whole
        assert (found.individuals, found.photos) == (expected.individuals, expected.photos)
        for name in ("vectors", "whale_of", "directions"):
            assert np.array_equal(getattr(found, name), getattr(expected, name))


def test_a_catalogue_answers_as_its_folder_does(
    book: Catalogue, kaggle: Path, network: Network, shoot: Shoot
) -> None:
    """But for a file and its copy, which are one photo here: the folder is asked without it."""
    listing = kaggle / "train.csv"
    listing.write_text(listing.read_text().replace("2.jpg,w_a\n", ""))
    photos = [shoot(seed) for seed in (1, 3, 4, 5, 7, 42)]
    answers, _ = identify(photos, read_table(kaggle), network)
    found, failures = resight(book, [Asked(path) for path in photos], network)
    assert failures == ()
    for one, answer in zip(found, answers, strict=True):
        assert one.answer.new == pytest.approx(answer.new, abs=1e-3)  # kept as float16
        assert [c.individual for c in one.answer.candidates] == [
            c.individual for c in answer.candidates
        ]


def test_what_is_confirmed_today_is_recognised_tomorrow(
    book: Catalogue, network: Network, shoot: Shoot, write_picture: Callable[..., Path]
) -> None:
    first = shoot(42)
    (number,) = bring(book, first)
    (before,), _ = resight(book, [Asked(first)], network)
    assert before.photo == number
    assert before.answer.new is not None and before.answer.new > 0.5
    book.decide(New(number, "Zora"), who="Ann", ranking=before.ranking)
    again = write_picture(first.parent / "again.jpg", picture(42), quality=90)
    (after,), _ = resight(book, [Asked(again)], network)
    assert after.answer.candidates[0].individual == "Zora"
    assert after.answer.candidates[0].probability > 0.5
    assert (after.photo, after.ranking) == (None, None)


def test_a_photo_never_matches_itself(book: Catalogue, network: Network) -> None:
    """Photo 6 is all there is of w_c: asked about, it is compared with the others."""
    path = book.root / book.photo(6).paths[0]
    (found,), _ = resight(book, [Asked(path)], network)
    assert "w_c" not in {one.individual for one in found.answer.candidates}


def test_photos_of_one_encounter_are_no_evidence_for_each_other(
    book: Catalogue, network: Network, shoot: Shoot, write_picture: Callable[..., Path]
) -> None:
    """The first photo of the encounter is named; its near copy must not be matched with it."""
    first = shoot(42)
    copy = write_picture(first.parent / "burst.jpg", picture(42), quality=90)
    numbers = bring(book, first, copy, encounter="e1")
    book.decide(New(numbers[0], "Zora"), who="Ann")
    (told,), _ = resight(book, [Asked(copy)], network)
    (asked,), _ = resight(book, [Asked(copy, "e1")], network)
    (renamed,), _ = resight(book, [Asked(copy, "e2")], network)  # it was e1 all the same
    outside = write_picture(first.parent / "later.jpg", picture(42), quality=85)
    (elsewhere,), _ = resight(book, [Asked(outside, "e2")], network)
    assert "Zora" not in {one.individual for one in renamed.answer.candidates}
    assert "Zora" not in {one.individual for one in told.answer.candidates}
    assert "Zora" not in {one.individual for one in asked.answer.candidates}
    assert elsewhere.answer.candidates[0].individual == "Zora"


def test_an_encounter_is_judged_as_one(book: Catalogue, network: Network, shoot: Shoot) -> None:
    photos = [Asked(shoot(seed), "e1") for seed in (4, 7)]
    alone, _ = resight(book, [Asked(one.path) for one in photos], network)
    found, _ = resight(book, photos, network)
    assert found[0].answer.new == found[1].answer.new
    together, apart = (
        [
            {one.individual: one.probability for one in answer.answer.candidates}
            for answer in answers
        ]
        for answers in (found, alone)
    )
    assert together[0] == together[1]
    assert together[0]["w_b"] < apart[0]["w_b"]
    assert together[0]["w_c"] < apart[1]["w_c"]


def test_a_photo_without_a_fluke_has_no_say_in_its_encounter(
    book: Catalogue, tmp_path: Path, shoot: Shoot, write_picture: Callable[..., Path]
) -> None:
    network = Network(make_picky_model(tmp_path / "picky.fluke"))
    sea = write_picture(tmp_path / "queries" / "sea.png", dark())
    bring(book, sea, encounter="e1")
    found, _ = resight(book, [Asked(shoot(4), "e1"), Asked(sea, "e1")], network)
    alone, _ = resight(book, [Asked(shoot(4))], network)
    assert found[0].answer.candidates == alone[0].answer.candidates
    assert (found[1].answer.no_fluke, found[1].answer.candidates) == (True, ())
    assert set(found[1].answer.guesses) == {NEW_WHALE, "w_a", "w_b", "w_c"}
    assert (found[1].photo is not None, found[1].ranking) == (True, None)


def test_rankings_are_kept_as_they_were_shown(
    book: Catalogue, network: Network, shoot: Shoot
) -> None:
    (number,) = bring(book, shoot(4))
    (found,), _ = resight(book, [Asked(shoot(4))], network)
    assert found.ranking is not None
    kept = book.ranking(found.ranking)
    assert kept is not None
    assert (kept.photo, kept.model_id) == (number, network.model.id)
    assert kept.new == found.answer.new
    assert [(name, share) for _, name, share in kept.candidates] == [
        (one.individual, one.probability) for one in found.answer.candidates
    ]
    assert book.last_ranking(number) == found.ranking
    assert check(book.path).whole


def test_only_what_was_shown_is_kept(book: Catalogue, network: Network, shoot: Shoot) -> None:
    bring(book, shoot(4))
    (found,), _ = resight(book, [Asked(shoot(4))], network, shown=lambda answers: len(answers))
    assert found.ranking is not None
    kept = book.ranking(found.ranking)
    assert kept is not None
    first, *others = found.answer.candidates
    assert kept.candidates == ((book.find("w_b"), "w_b", first.probability),)
    assert (first.individual, len(others)) == ("w_b", 2)


def test_whom_a_person_ruled_out_is_not_named_again(
    book: Catalogue, network: Network, shoot: Shoot
) -> None:
    one, _ = bring(book, shoot(1), shoot(42))
    asked = [Asked(shoot(1)), Asked(shoot(42))]
    before, _ = resight(book, asked, network, note=False)
    (first, *rest) = before[0].answer.candidates
    book.decide(Different(one, book.find(first.individual)), who="Bo")
    after, _ = resight(book, asked, network, note=False)
    assert [c.individual for c in after[1].answer.candidates] == [
        c.individual for c in before[1].answer.candidates
    ]
    answer = after[0].answer
    assert [c.individual for c in answer.candidates] == [c.individual for c in rest]
    left = 1 - first.probability
    assert answer.new == pytest.approx((before[0].answer.new or 0) / left, rel=1e-6)
    together = [replace(each, encounter="e1") for each in asked]
    found, _ = resight(book, together, network, note=False)
    for seen in found:  # an encounter shows one whale: what it is not holds for both
        assert first.individual not in [c.individual for c in seen.answer.candidates]


def test_a_merge_while_the_model_was_at_work(
    book: Catalogue, network: Network, shoot: Shoot
) -> None:
    """What is noted is what was shown: by the names that the whales had then."""
    bring(book, shoot(4))
    known = book.present()
    book.decide(Merge(book.find("w_a"), book.find("w_b")), who="Bo")
    (found,), _ = resight(book, [Asked(shoot(4))], network, known=known)
    assert found.ranking is not None
    kept = book.ranking(found.ranking)
    assert kept is not None
    assert len(kept.candidates) == len(found.answer.candidates) == 3
    assert check(book.path).whole


def test_a_catalogue_is_used_where_its_photos_are_not(
    book: Catalogue, kaggle: Path, network: Network, shoot: Shoot
) -> None:
    """What was embedded once stays in the file; what was not is told to be missing."""
    (before,), _ = resight(book, [Asked(shoot(4))], network)
    kaggle.rename(kaggle.with_name("elsewhere"))
    (after,), failures = resight(book, [Asked(shoot(4))], network)
    assert failures == ()
    assert after.answer.candidates[0].individual == "w_b"
    assert after.answer.new == before.answer.new


def test_photos_that_are_gone_or_changed_are_told(
    book: Catalogue, network: Network, shoot: Shoot, write_picture: Callable[..., Path]
) -> None:
    (book.root / book.photo(3).paths[0]).unlink()
    write_picture(book.root / book.photo(6).paths[0], picture(50))
    (found,), failures = resight(book, [Asked(shoot(4))], network)
    assert [failure.reason.split(";")[0] for failure in failures] == [
        "is not there",
        "holds another picture than when it was imported",
    ]
    assert {one.individual for one in found.answer.candidates} == {"w_a"}


def test_nothing_is_noted_where_that_is_not_wanted(
    book: Catalogue, network: Network, shoot: Shoot
) -> None:
    bring(book, shoot(4))
    before = book.path.read_bytes()
    (found,), _ = resight(book, [Asked(shoot(4))], network, note=False)
    assert found.ranking is None
    assert book.path.read_bytes() == before


def test_labels_that_nobody_settled_each_count(book: Catalogue, shoot: Shoot) -> None:
    (number,) = bring(book, shoot(8))
    rows = gallery_rows(book.photos(), book.individuals())
    assert [row.label for row in rows] == ["w_a", "w_a", "w_b", NEW_WHALE, NEW_WHALE, "w_c"]
    copy = book.root / "other"
    copy.mkdir()
    original = book.root / book.photo(3).paths[0]
    (copy / "4.jpg").write_bytes(original.read_bytes())
    (book.root / "sheet.csv").write_text("path,identity\nother/4.jpg,w_c\n")
    bring_in(book, from_table(read_table(book.root / "sheet.csv")), who="Ann")
    rows = gallery_rows(book.photos(), book.individuals())
    assert [row.label for row in rows[2:4]] == ["w_b", "w_c"]
    book.decide(Different(3, book.find("w_c")), who="Ann")
    assert [row.label for row in gallery_rows(book.photos(), book.individuals())][2:4] == [
        "w_b",
        NEW_WHALE,
    ]
    book.decide(Same(number, 1), who="Ann")
    assert gallery_rows(book.photos(), book.individuals())[-1].label == "w_a"


def test_a_photo_without_a_whale_is_no_evidence(book: Catalogue) -> None:
    rows = gallery_rows(book.photos(), book.individuals())
    book.decide(NoWhale(4), who="Bo")  # of a whale that nobody named, as it was imported
    book.decide(NoWhale(1), who="Bo")
    left = [row for row in rows if row.name not in ("train/1.jpg", "train/5.jpg")]
    assert gallery_rows(book.photos(), book.individuals()) == left
    assert len(left) == len(rows) - 2


def test_all_that_is_unidentified(book: Catalogue, network: Network, shoot: Shoot) -> None:
    photo = shoot(8)
    bring(book, photo)
    found = [asked.path.name for asked in unidentified(book)]
    assert found == ["5.jpg", "6.jpg", "8.png"]
    photo.unlink()
    answers, _ = resight(book, unidentified(book), network)
    assert answers[-1].answer.failure == "no such file"


def test_a_photo_that_is_away_is_identified_by_what_was_seen_before(
    book: Catalogue, network: Network, shoot: Shoot
) -> None:
    photo = shoot(8)
    (number,) = bring(book, photo)
    asked = unidentified(book)
    before, _ = resight(book, asked, network)
    photo.unlink()
    after, _ = resight(book, asked, network)
    assert [one.photo for one in after] == [one.photo for one in before] == [4, 5, number]
    was, now = before[2].answer, after[2].answer
    assert (now.failure, now.look) == (None, was.look)
    assert now.new == pytest.approx(was.new, abs=1e-3)  # kept as float16
    assert after[2].ranking is not None
    failed, _ = resight(book, [Asked(photo)], network)  # asked for as a file, not as its photo
    assert failed[0].answer.failure == "no such file"


def test_a_catalogue_that_names_nobody(tmp_path: Path, network: Network, shoot: Shoot) -> None:
    with (
        Catalogue.create(tmp_path / "empty") as empty,
        pytest.raises(FlukeprintError, match="names no individual yet"),
    ):
        resight(empty, [Asked(shoot(1))], network)


def test_encounters_from_a_sheet(tmp_path: Path, shoot: Shoot) -> None:
    photo = shoot(1)
    listing = tmp_path / "met.csv"
    listing.write_text(f"path,encounter\n{photo.relative_to(tmp_path)},e1\n")
    assert read_encounters(listing) == [Asked(photo, "e1")]
    listing.write_text("path,encounter\nnowhere.jpg,e1\n")
    with pytest.raises(FlukeprintError, match=r"met\.csv, line 2: no photo at"):
        read_encounters(listing)


def test_a_corrected_box_counts_more_than_the_models_look(
    book: Catalogue, network: Network, tmp_path: Path, write_picture: Callable[..., Path]
) -> None:
    """The photo shows the whale of photo 6 in its left half; the tiny model takes all of it."""
    both = np.concatenate([picture(7), picture(4)], axis=1)
    photo = write_picture(tmp_path / "queries" / "both.png", both)
    (number,) = bring(book, photo)
    (before,), _ = resight(book, [Asked(photo)], network)
    book.decide(CorrectBox(number, Box(0.0, 0.0, 0.5, 1.0)), who="Ann")
    (after,), _ = resight(book, [Asked(photo)], network)
    assert before.answer.candidates[0].probability < 0.5
    assert after.answer.candidates[0].individual == "w_c"
    assert after.answer.candidates[0].probability > 0.5
    assert after.answer.look is not None
    assert after.answer.look.fluke.box == Box(0.0, 0.0, 0.5, 1.0)
    book.decide(Same(number, book.find("w_b")), who="Ann")  # wrong, and now in the gallery
    again = write_picture(tmp_path / "queries" / "7.png", picture(7))
    (fooled,), _ = resight(book, [Asked(again)], network)
    top = {one.individual: one.probability for one in fooled.answer.candidates}
    assert top["w_b"] > 0.2
