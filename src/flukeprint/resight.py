"""The main job against a catalogue: who is known there is the gallery, and what is shown is noted.

Photos of one encounter are judged together where asked, and never match each other as if that were
evidence; a photo never matches itself.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path

from flukeprint.cache import Cache
from flukeprint.catalogue import Catalogue, PhotoNow, Present, Shown
from flukeprint.catalogued import (
    CatalogueGallery,
    gallery_rows,
    keep_seen,
    known_vectors,
    look_again,
    place_of,
    with_remembered,
)
from flukeprint.cells import unguard
from flukeprint.embed import EmbeddedPhotos, embed_photos
from flukeprint.errors import FlukeprintError
from flukeprint.identify import Judge, begun
from flukeprint.network import Network
from flukeprint.progress import Progress, no_progress
from flukeprint.rank import GalleryIndex
from flukeprint.records import NEW_WHALE, Failure, Identification
from flukeprint.tables import csv_rows, photo_of


@dataclass(frozen=True, slots=True)
class Asked:
    """A photo to be identified; ``encounter`` is empty where it stands alone.

    ``number`` is the catalogue's where it was asked for as one of its photos: it can be identified
    where its file is away.
    """

    path: Path
    encounter: str = ""
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Resighting:
    """An answer with what the catalogue knows of its photo: its number, and that of the ranking.

    Both are None where the photo is not in the catalogue, or nothing was to be noted.
    """

    answer: Identification
    photo: int | None = None
    ranking: int | None = None


def unidentified(catalogue: Catalogue) -> list[Asked]:
    """The catalogued photos that nobody has put with an individual."""
    return [
        Asked(place_of(catalogue.root, photo), number=photo.number)
        for photo in catalogue.photos()
        if photo.unidentified
    ]


def read_encounters(listing: Path) -> list[Asked]:
    """Photos and their encounters from a CSV with path,encounter; paths are relative to it.

    Raises:
        FlukeprintError: it is no such CSV, or a photo is not there.
    """
    asked = []
    for line, row in csv_rows(listing, ("path", "encounter")):
        path = photo_of(listing, unguard(row["path"]))
        if not os.path.isfile(path):
            raise FlukeprintError(f"{listing}, line {line}: no photo at {str(path)!r}")
        asked.append(Asked(path, unguard(row["encounter"]).strip()))
    if not asked:
        raise FlukeprintError(f"{listing}: lists no photos")
    return asked


def resight(
    catalogue: Catalogue,
    asked: Sequence[Asked],
    network: Network,
    *,
    cache: Cache | None = None,
    top: int = 5,
    new_share: float | None = None,
    miss_rate: float | None = None,
    note: bool = True,
    known: Present | None = None,
    shown: Callable[[Sequence[Identification]], int] | None = None,
    progress: Progress = no_progress,
) -> tuple[list[Resighting], tuple[Failure, ...]]:
    """Name the likeliest catalogued individuals for each photo; see :func:`identify.identify`.

    Photos with the same encounter are judged together. With ``note``, embeddings and rankings of
    catalogued photos are kept in the catalogue. ``known`` is what the catalogue's ``present`` gave,
    where that has been asked already: others may decide meanwhile.
    ``shown`` says how many candidates of these answers a person gets to see, where not all: no more
    are kept in the rankings. Returns the answers in order, and the catalogue's photos that could
    not be had.

    Raises:
        FlukeprintError: the model is a classifier, the catalogue names nobody or cannot be used.
    """
    judge = Judge.of(network.model.manifest, top, new_share, miss_rate)
    revision, photos, names = known or catalogue.present()
    rows = gallery_rows(photos, names)
    if not any(row.label != NEW_WHALE for row in rows):
        raise FlukeprintError(f"{catalogue.path}: names no individual yet; import labelled photos")
    wanted = {row.sha256 for row in rows}
    vectors, failures = known_vectors(catalogue, photos, wanted, network, cache, note, progress)
    rows = [row for row in rows if row.sha256 in vectors]
    if not rows:
        raise FlukeprintError(
            f"{catalogue.path}: not one of its photos is at hand; say with --root where they lie"
        )
    by_hash = {photo.sha256: photo for photo in photos}
    done = _embedded(catalogue, asked, photos, network, cache, progress)
    if note:
        keep_seen(catalogue, done.embeddings, done.looks, by_hash)
    done = look_again(done, [one.path for one in asked], photos, network, cache)
    gallery = CatalogueGallery(rows, vectors)
    denied = {
        photo.sha256: {names[one] for one in photo.not_individuals if one in names}
        for photo in photos
        if photo.not_individuals
    }
    answers = _answered(asked, done, gallery, judge, by_hash, denied)
    places = (shown(answers) if shown else top) if note else None
    compared = revision, network.model.id
    return _noted(catalogue, answers, done, by_hash, names, compared, places), failures


def _embedded(
    catalogue: Catalogue,
    asked: Sequence[Asked],
    photos: Sequence[PhotoNow],
    network: Network,
    cache: Cache | None,
    progress: Progress,
) -> EmbeddedPhotos:
    """What is asked about, embedded; catalogued photos whose files are away as they were seen."""
    done = embed_photos([one.path for one in asked], network, cache, progress("photos", len(asked)))
    numbered = {photo.number: photo for photo in photos}
    away = {
        place: numbered[one.number]
        for place, one in enumerate(asked)
        if place in done.failures and one.number in numbered and not os.path.lexists(one.path)
    }
    return with_remembered(done, away, catalogue)


def _answered(
    asked: Sequence[Asked],
    done: EmbeddedPhotos,
    gallery: CatalogueGallery,
    judge: Judge,
    known: Mapping[str, PhotoNow],
    denied: Mapping[str, Set[str]],
) -> list[Identification]:
    """An answer for each photo asked about, encounters judged together.

    ``denied`` are the individuals that somebody said a photo does not show, by its SHA-256.
    """
    answers, rows = begun([one.path for one in asked], done)
    together: dict[str, list[int]] = defaultdict(list)
    alone: dict[tuple[frozenset[str], frozenset[str]], list[int]] = defaultdict(list)

    def apart(places: Sequence[int]) -> tuple[frozenset[str], frozenset[str]]:
        """The photos and encounters that are no evidence for these."""
        hashes = {done.embeddings.hashes[rows[place]] for place in places}
        met = {known[one].facts.get("encounter", "") for one in hashes if one in known}
        return gallery.there(hashes, met | {asked[place].encounter for place in places})

    for place, row in rows.items():
        if asked[place].encounter and done.looks[row].fluke.seen:
            together[asked[place].encounter].append(place)
        else:
            alone[apart([place])].append(place)
    for (hashes, encounters), places in alone.items():
        index = gallery.without(hashes, encounters)
        _judge(answers, places, rows, done, index, judge, denied, together=False)
    for places in together.values():
        index = gallery.without(*apart(places))
        _judge(answers, places, rows, done, index, judge, denied, together=True)
    return answers


def _judge(
    answers: list[Identification],
    places: Sequence[int],
    rows: Mapping[int, int],
    done: EmbeddedPhotos,
    index: GalleryIndex,
    judge: Judge,
    denied: Mapping[str, Set[str]],
    *,
    together: bool,
) -> None:
    """Put the judged answers in their places."""
    mine = [rows[place] for place in places]
    judged = judge.answer(
        [answers[place] for place in places],
        done.embeddings.vectors[mine],
        index,
        together=together,
        denied=[denied.get(done.embeddings.hashes[row], frozenset()) for row in mine],
    )
    for place, answer in zip(places, judged, strict=True):
        answers[place] = answer


def _noted(
    catalogue: Catalogue,
    answers: Sequence[Identification],
    done: EmbeddedPhotos,
    known: Mapping[str, PhotoNow],
    names: Mapping[int, str],
    compared: tuple[int, str],
    places: int | None,
) -> list[Resighting]:
    """The answers with their photos' numbers; rankings are kept in one go.

    ``compared`` are the revision with which, and the id of the model by which they were compared.
    Of each so many ``places`` were shown; None where nothing is to be kept.
    """
    hashes = dict(zip(done.places.tolist(), done.embeddings.hashes, strict=True))
    numbers = {name: number for number, name in names.items()}
    photos = [
        photo.number if (photo := known.get(hashes.get(place, ""))) else None
        for place in range(len(answers))
    ]
    shown = {
        place: Shown(
            number,
            tuple((numbers[one.individual], one.probability) for one in answer.candidates[:places]),
            answer.new,
        )
        for place, (number, answer) in enumerate(zip(photos, answers, strict=True))
        if places is not None and number is not None and answer.new is not None
    }
    revision, model_id = compared
    rows = list(shown.values())
    kept = catalogue.keep_rankings(model_id, rows, seen=revision) if rows else []
    rankings = dict(zip(shown, kept, strict=True))
    return [
        Resighting(answer, number, rankings.get(place))
        for place, (number, answer) in enumerate(zip(photos, answers, strict=True))
    ]
