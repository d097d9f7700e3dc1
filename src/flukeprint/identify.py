"""The main job: photos and a gallery in, names with probabilities out."""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flukeprint.cache import Cache
from flukeprint.decide import (
    Beliefs,
    Calibration,
    believe,
    believe_together,
    least_to_review,
    order,
    ruled_out,
    to_review,
    with_new_share,
)
from flukeprint.embed import EmbeddedPhotos, embed_photos
from flukeprint.errors import FlukeprintError
from flukeprint.model import Manifest
from flukeprint.network import Network
from flukeprint.progress import Progress, no_progress
from flukeprint.rank import (
    GalleryIndex,
    Likeness,
    best_photos,
    compare,
    index_gallery,
    taught_likeness,
)
from flukeprint.records import (
    NEW_WHALE,
    Candidate,
    Failure,
    Identification,
    LabelledPhoto,
    Table,
)
from flukeprint.submission import five_labels

BLOCK = 256  # queries compared at a time: 256 x 10,000 similarities are 10 MB
PHOTOS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Gallery:
    """A catalogue made ready for one model; ``failures`` are its photos that could not be read."""

    index: GalleryIndex
    failures: tuple[Failure, ...] = ()


def prepare_gallery(
    table: Table,
    network: Network,
    cache: Cache | None = None,
    progress: Progress = no_progress,
) -> Gallery:
    """Make a labelled collection ready. A photo with several labels counts for each of them.

    Raises:
        FlukeprintError: not one photo could be read.
    """
    manifest = network.model.manifest
    if manifest.kind == "softmax":
        return Gallery(softmax_index(table.rows, manifest))
    paths = list(dict.fromkeys(row.path for row in table.rows))
    done = embed_photos(paths, network, cache, progress("gallery", len(paths)))
    if not len(done.places):
        raise FlukeprintError(f"{table.source}: not one photo could be read")
    row_of = {paths[place]: row for row, place in enumerate(done.places)}
    rows = [row for row in table.rows if row.path in row_of]
    picked = np.array([row_of[row.path] for row in rows])
    index = index_gallery(
        done.embeddings.vectors[picked],
        [row.individual for row in rows],
        [row.name for row in rows],
    )
    return Gallery(index, tuple(done.failures.values()))


def index_unseen(rows: Sequence[LabelledPhoto]) -> GalleryIndex:
    """Index labelled photos without embeddings, for answers that compare with no photo.

    Its vectors are zeros, (N, 1) float32.
    """
    blank = np.zeros((len(rows), 1), dtype=np.float32)
    return index_gallery(blank, [row.individual for row in rows], [row.name for row in rows])


def softmax_index(rows: Sequence[LabelledPhoto], manifest: Manifest) -> GalleryIndex:
    """A softmax model knows its whales itself; the labelled photos only show who they are."""
    known = set(manifest.classes)
    index = index_unseen([row for row in rows if row.individual in known])
    individuals = tuple(sorted(known - {NEW_WHALE}))
    number = {name: place for place, name in enumerate(individuals)}
    renumber = np.array([number[name] for name in index.individuals], dtype=np.int64)
    whale_of = np.where(index.whale_of >= 0, renumber[index.whale_of] if len(renumber) else -1, -1)
    return GalleryIndex(
        index.vectors, whale_of, individuals, index.photos, np.zeros((len(individuals), 1), "f4")
    )


def likeness_of(vectors: NDArray[np.float32], index: GalleryIndex, manifest: Manifest) -> Likeness:
    """Likeness of Q network outputs (Q, embedding_size) to the gallery's whales, in their order."""
    if manifest.kind == "embedding":
        return compare(vectors, index)
    return taught_likeness(vectors, index.individuals, manifest.classes)


def identify(
    photos: Sequence[Path],
    table: Table,
    network: Network,
    *,
    cache: Cache | None = None,
    top: int = 5,
    new_share: float | None = None,
    miss_rate: float | None = None,
    progress: Progress = no_progress,
) -> tuple[list[Identification], tuple[Failure, ...]]:
    """Name the likeliest whales for each photo that shows a fluke.

    Returns the answers in the photos' order, and the gallery's photos that could not be read.
    ``cache`` keeps the embeddings of both for the next run. ``new_share``, between 0 and 1, is the
    share of new whales to expect, else that of the model's calibration. With ``miss_rate`` each
    answer says how many candidates to look at so that about that share of true matches is missed.

    Raises:
        FlukeprintError: no gallery photo could be read, the model's calibration is not valid, or it
            knows nothing of miss rates.
    """
    judge = Judge.of(network.model.manifest, top, new_share, miss_rate)
    gallery = prepare_gallery(table, network, cache, progress)
    done = embed_photos(photos, network, cache, progress("photos", len(photos)))
    answers, rows = begun(photos, done)
    judged = judge.answer([answers[p] for p in rows], done.embeddings.vectors, gallery.index)
    for place, answer in zip(rows, judged, strict=True):
        answers[place] = answer
    return answers, gallery.failures


def begun(
    photos: Sequence[Path], done: EmbeddedPhotos
) -> tuple[list[Identification], dict[int, int]]:
    """The photos' answers before they are compared: what was seen, or why it could not be read.

    With them, by the place of each photo that could be read, its row in what was embedded.
    """
    rows = {place: row for row, place in enumerate(done.places.tolist())}
    answers = [
        Identification(str(path), failure=failure.reason)
        if (failure := done.failures.get(place))
        else Identification(str(path), look=done.looks[rows[place]])
        for place, path in enumerate(photos)
    ]
    return answers, rows


@dataclass(frozen=True, slots=True)
class Judge:
    """How queries are answered by one model: ``least`` probability to review, None if not asked."""

    manifest: Manifest
    calibration: Calibration
    top: int
    new_share: float | None
    least: float | None

    @staticmethod
    def of(manifest: Manifest, top: int, new_share: float | None, miss_rate: float | None) -> Judge:
        """Check what a model's answers need. Raises as :func:`identify` does."""
        calibration = Calibration.from_dict(manifest.calibration)
        least = None if miss_rate is None else _least_to_review(manifest, miss_rate)
        return Judge(manifest, calibration, top, new_share, least)

    def answer(
        self,
        asked: Sequence[Identification],
        vectors: NDArray[np.float32],
        index: GalleryIndex,
        *,
        together: bool = False,
        denied: Sequence[Set[str]] = (),
    ) -> list[Identification]:
        """The Q answers with their candidates, for (Q, D) embeddings; guesses where no fluke is.

        ``together`` says that all show one whale: they are judged as one, and get one judgement.
        ``denied`` are, for each of the Q, the individuals that somebody said it does not show.
        """
        if together:
            denied = [set().union(*denied)]
        answered: list[Identification] = []
        step = max(len(vectors), 1) if together else BLOCK
        for start in range(0, len(vectors), step):
            block = vectors[start : start + step]
            out = _columns(index.individuals, denied[start : start + step])
            likeness = likeness_of(block, index, self.manifest)
            beliefs, reviews = self._believe(likeness, together, out)
            for row, vector in enumerate(block):
                at = 0 if together else row
                named = _named(asked[start + row], vector, beliefs, at, index, self.top)
                count = None if reviews is None else int(reviews[at])
                named = replace(named, to_review=count)
                answered.append(_unmatched(named) if named.no_fluke else named)
        return answered

    def _believe(
        self, likeness: Likeness, together: bool, out: NDArray[np.bool_] | None
    ) -> tuple[Beliefs, NDArray[np.int64] | None]:
        beliefs = (believe_together if together else believe)(likeness, self.calibration)
        beliefs = beliefs if out is None else ruled_out(beliefs, out)
        reviews = None if self.least is None else to_review(beliefs, self.least)
        if self.new_share is not None:
            beliefs = with_new_share(beliefs, self.new_share, self.manifest.new_share)
        return beliefs, reviews


def _columns(individuals: Sequence[str], denied: Sequence[Set[str]]) -> NDArray[np.bool_] | None:
    """Which of W individuals each of Q photos does not show: (Q, W); None where nobody said."""
    if not any(denied):
        return None
    return np.array([[name in names for name in individuals] for names in denied])


def _least_to_review(manifest: Manifest, miss_rate: float) -> float:
    if not manifest.true_probabilities:
        raise FlukeprintError(
            "this model was exported without what --miss-rate needs; export its run again"
        )
    return least_to_review(manifest.true_probabilities, miss_rate)


def _unmatched(answer: Identification) -> Identification:
    """The answer as that of a photo without a fluke."""
    guesses = tuple(five_labels(answer, ()))
    nobody = None if answer.to_review is None else 0
    return Identification(answer.photo, look=answer.look, to_review=nobody, guesses=guesses)


def _named(
    answer: Identification,
    vector: NDArray[np.float32],
    beliefs: Beliefs,
    row: int,
    index: GalleryIndex,
    top: int,
) -> Identification:
    """The answer with its candidates."""
    one = Beliefs(beliefs.whales[row : row + 1], beliefs.new[row : row + 1])
    # One more than asked for: "new" may be among the likeliest, and is told apart.
    likeliest = [whale for whale in order(one, top + 1)[0] if whale < len(index.individuals)]
    compared = vector[: index.vectors.shape[1]]
    return replace(
        answer,
        candidates=tuple(
            Candidate(
                index.individuals[whale],
                float(one.whales[0, whale]),
                best_photos(compared, index, whale, PHOTOS_SHOWN),
            )
            for whale in likeliest[:top]
            if one.whales[0, whale] > 0  # not whom a person ruled out
        ),
        new=float(one.new[0]),
    )
