"""A catalogue's photos as a gallery: under which labels they count, and their embeddings."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flukeprint.cache import Cache
from flukeprint.catalogue import Catalogue, PhotoNow
from flukeprint.embed import EmbeddedPhotos, embed_photos
from flukeprint.errors import FlukeprintError
from flukeprint.network import Network
from flukeprint.progress import Progress, no_progress
from flukeprint.rank import GalleryIndex, index_gallery
from flukeprint.records import NEW_WHALE, Embeddings, Failure, LabelledPhoto, Look, Table


@dataclass(frozen=True, slots=True)
class Row:
    """One photo of the gallery under one label."""

    sha256: str
    label: str
    name: str
    encounter: str


def labels_of(photo: PhotoNow, names: Mapping[int, str]) -> tuple[str, ...]:
    """Under which labels a catalogued photo counts.

    As :func:`flukeprint.identify.prepare_gallery` counts a labelled collection: of several labels
    that nobody settled each counts, and ``new_whale`` is a photo that someone could not name.
    """
    if photo.no_whale:
        return ()
    if photo.individual is not None:
        return (names[photo.individual],)
    if photo.labels and photo.in_conflict:
        return tuple(names[one] for one in photo.labels if one not in photo.not_individuals)
    return (NEW_WHALE,) if photo.unnamed else ()


def gallery_rows(photos: Sequence[PhotoNow], names: Mapping[int, str]) -> list[Row]:
    """The rows that a catalogue's photos give, in their order."""
    return [
        Row(photo.sha256, label, photo.called, photo.facts.get("encounter", ""))
        for photo in photos
        for label in labels_of(photo, names)
    ]


class CatalogueGallery:
    """The catalogue's rows, and indices of them with some photos left out."""

    def __init__(self, rows: Sequence[Row], vectors: Mapping[str, NDArray[np.float32]]) -> None:
        self._rows = rows
        self._vectors = np.stack([vectors[row.sha256] for row in rows])
        self._of_photo: dict[str, list[int]] = defaultdict(list)
        self._of_encounter: dict[str, list[int]] = defaultdict(list)
        for place, row in enumerate(rows):
            self._of_photo[row.sha256].append(place)
            if row.encounter:
                self._of_encounter[row.encounter].append(place)
        self.whole = self._index(range(len(rows)))
        self._row_of = {name: row for row, name in enumerate(self.whole.photos)}

    def there(
        self, hashes: set[str], encounters: set[str]
    ) -> tuple[frozenset[str], frozenset[str]]:
        """Those of some photos and encounters that the gallery holds."""
        return (
            frozenset(hashes & self._of_photo.keys()),
            frozenset(encounters & self._of_encounter.keys()),
        )

    def without(self, hashes: frozenset[str], encounters: frozenset[str]) -> GalleryIndex:
        """The gallery but for these photos and those of these encounters."""
        if not hashes and not encounters:
            return self.whole
        gone = {place for sha256 in hashes for place in self._of_photo.get(sha256, ())}
        for encounter in encounters:
            gone.update(self._of_encounter.get(encounter, ()))
        if all(self._rows[place].label == NEW_WHALE for place in gone):
            return self._without_unnamed({self._rows[place].name for place in gone})
        return self._index([place for place in range(len(self._rows)) if place not in gone])

    def _without_unnamed(self, names: Set[str]) -> GalleryIndex:
        """The gallery but for photos of nobody's, which most are that are asked about.

        No whale's direction changes, and to work those out again takes most of the time.
        """
        whole = self.whole
        stay = np.ones(len(whole.photos), dtype=np.bool_)
        stay[[self._row_of[name] for name in names]] = False  # one row each, as they have one label
        photos = tuple(compress(whole.photos, stay))
        return replace(
            whole, vectors=whole.vectors[stay], whale_of=whole.whale_of[stay], photos=photos
        )

    def _index(self, places: Sequence[int]) -> GalleryIndex:
        rows = [self._rows[place] for place in places]
        picked = self._vectors[list(places)]
        return index_gallery(picked, [row.label for row in rows], [row.name for row in rows])


def known_vectors(
    catalogue: Catalogue,
    photos: Sequence[PhotoNow],
    wanted: set[str],
    network: Network,
    cache: Cache | None,
    note: bool,
    progress: Progress = no_progress,
) -> tuple[dict[str, NDArray[np.float32]], tuple[Failure, ...]]:
    """Embeddings of the catalogue's photos by SHA-256: those that it keeps, and the rest made.

    With ``note`` the catalogue keeps the new ones, so that it can be used where its photos are not.
    Failures are of photos whose files are not there, or hold another picture now.

    Raises:
        FlukeprintError: the model is a classifier.
    """
    if network.model.manifest.kind != "embedding":
        raise FlukeprintError("this model knows only its own whales; a catalogue needs another")
    kept = catalogue.embeddings(network.model.id)
    vectors = {s: v for s, v in zip(kept.hashes, kept.vectors, strict=True) if s in wanted}
    absent = wanted - vectors.keys()
    missing = [photo for photo in photos if photo.sha256 in absent]
    places = {photo.sha256: place_of(catalogue.root, photo) for photo in missing}
    there = [photo for photo in missing if os.path.isfile(places[photo.sha256])]
    done = embed_photos(
        [places[photo.sha256] for photo in there], network, cache, progress("gallery", len(there))
    )
    # As the catalogue keeps them, so that the same question has the same answer tomorrow.
    kept_as = done.embeddings.vectors.astype(np.float16).astype(np.float32)
    vectors.update(zip(done.embeddings.hashes, kept_as, strict=True))
    if note:
        keep_seen(catalogue, done.embeddings, done.looks, {photo.sha256: photo for photo in there})
    vectors.update(_corrected(catalogue.root, photos, wanted, network, cache))
    unread = {there[place].sha256: failure.reason for place, failure in done.failures.items()}
    failures = tuple(
        Failure(places[sha256], unread.get(sha256) or _why_missing(places[sha256]))
        for sha256 in places
        if sha256 not in vectors
    )
    return vectors, failures


def _corrected(
    root: Path,
    photos: Sequence[PhotoNow],
    wanted: set[str],
    network: Network,
    cache: Cache | None,
) -> dict[str, NDArray[np.float32]]:
    """Embeddings of photos whose box a person corrected; one that is not at hand keeps its old."""
    boxes = {photo.sha256: photo.box for photo in photos if photo.box and photo.sha256 in wanted}
    places = [place_of(root, photo) for photo in photos if photo.sha256 in boxes]
    done = embed_photos([p for p in places if os.path.isfile(p)], network, cache, boxes=boxes)
    return dict(zip(done.embeddings.hashes, done.embeddings.vectors, strict=True))


def with_remembered(
    done: EmbeddedPhotos, away: Mapping[int, PhotoNow], catalogue: Catalogue
) -> EmbeddedPhotos:
    """What was embedded, and photos whose files are away as the model saw them before.

    ``away`` are those photos by their place among the paths asked for; the catalogue keeps what the
    model saw of some of them. The others stay failures.
    """
    model_id = done.embeddings.model_id
    kept = catalogue.embeddings(model_id) if away else done.embeddings
    row_of = {sha256: row for row, sha256 in enumerate(kept.hashes)}
    looks = {place: catalogue.look(photo.number, model_id) for place, photo in away.items()}
    seen = {place: look for place, look in looks.items() if look and away[place].sha256 in row_of}
    if not seen:
        return done
    hashes = tuple(away[place].sha256 for place in seen)
    vectors = kept.vectors[[row_of[sha256] for sha256 in hashes]]
    return EmbeddedPhotos(
        Embeddings(
            np.concatenate([done.embeddings.vectors, vectors]),
            done.embeddings.hashes + hashes,
            model_id,
        ),
        done.looks + tuple(seen.values()),
        np.concatenate([done.places, np.array(list(seen), dtype=np.int64)]),
        {place: why for place, why in done.failures.items() if place not in seen},
    )


def look_again(
    done: EmbeddedPhotos,
    paths: Sequence[Path],
    photos: Sequence[PhotoNow],
    network: Network,
    cache: Cache | None,
) -> EmbeddedPhotos:
    """What was embedded, but with the boxes that people corrected."""
    boxes = {photo.sha256: photo.box for photo in photos if photo.box}
    rows = [row for row, sha256 in enumerate(done.embeddings.hashes) if sha256 in boxes]
    if not rows:
        return done
    again = embed_photos([paths[done.places[row]] for row in rows], network, cache, boxes=boxes)
    vectors, looks = done.embeddings.vectors.copy(), list(done.looks)
    for row, place in enumerate(again.places):
        vectors[rows[place]] = again.embeddings.vectors[row]
        looks[rows[place]] = again.looks[row]
    return replace(done, embeddings=replace(done.embeddings, vectors=vectors), looks=tuple(looks))


def keep_seen(
    catalogue: Catalogue,
    embeddings: Embeddings,
    looks: Sequence[Look],
    known: Mapping[str, PhotoNow],
) -> None:
    """Keep in the catalogue what was seen in its photos."""
    rows = [row for row, sha256 in enumerate(embeddings.hashes) if sha256 in known]
    if rows:
        hashes = tuple(embeddings.hashes[row] for row in rows)
        mine = Embeddings(embeddings.vectors[rows], hashes, embeddings.model_id)
        catalogue.keep_embeddings(mine, half=True)
        seen = dict(zip(hashes, (looks[row] for row in rows), strict=True))
        catalogue.keep_looks(embeddings.model_id, seen)


def place_of(root: Path, photo: PhotoNow) -> Path:
    """The first of a photo's files that is there, else the first."""
    places = [root / path for path in photo.paths or (photo.called,)]
    return next((place for place in places if os.path.isfile(place)), places[0])


def _why_missing(place: Path) -> str:
    if os.path.isfile(place):
        return "holds another picture than when it was imported; import it again"
    return "is not there; import the folder where it lies now, or name it with --root"


def table_of(catalogue: Catalogue, photos: Sequence[PhotoNow], names: Mapping[int, str]) -> Table:
    """The gallery as a labelled collection, for what shows or writes answers."""
    rows = gallery_rows(photos, names)
    wanted = {row.sha256 for row in rows}
    there = (photo for photo in photos if photo.sha256 in wanted)
    places = {photo.sha256: place_of(catalogue.root, photo) for photo in there}
    return Table(
        catalogue.path,
        tuple(
            LabelledPhoto(row.name, places[row.sha256], row.label, "", row.encounter)
            for row in rows
        ),
    )
