"""Photos that nobody has named, named by an earlier model: more pictures to learn from.

Source: Lee, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural
Networks" (ICML workshop 2013). Here only sure answers count, and photos of whales that the teacher
does not know pair up as whales of their own.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flukeprint.cache import Cache
from flukeprint.collection import Collection
from flukeprint.decide import Beliefs, Calibration, believe
from flukeprint.embed import embed_photos
from flukeprint.errors import FlukeprintError
from flukeprint.evaluate import HASH_DIGITS
from flukeprint.files import write_text
from flukeprint.identify import prepare_gallery
from flukeprint.model import Model, load_model
from flukeprint.network import Network
from flukeprint.photos import find_photos
from flukeprint.progress import Progress
from flukeprint.rank import compare
from flukeprint.records import NEW_WHALE, Failure, Split, Table, whale_apart
from flukeprint.training.config import TrainConfig
from flukeprint.training.runfolder import RunFolder
from flukeprint.training.sides import gives_away
from flukeprint.twins import glance_all, twin_groups

BLOCK = 1_024


@dataclass(frozen=True, slots=True)
class Taught:
    """A photo as the teacher names it: its path as text, the first digits of its hash, whom.

    The name is empty where the teacher is not sure, and the photo serves distillation alone.
    """

    photo: str
    sha256: str
    individual: str


def taught_photos(
    collection: Collection,
    outer: Split,
    inner: Split,
    config: TrainConfig,
    folder: RunFolder,
    progress: Progress,
) -> tuple[Taught, ...]:
    """The unlabelled photos that the config's teacher is sure of, kept in the run's folder.

    With ``distil_weight`` all those on which it sees a fluke, for it says something of each.

    Twins of labelled photos are left out, of whichever side: a query's twin would give the query
    away, and others teach nothing. Of twins among themselves one is used. The teacher compares
    with the inner split's gallery alone.

    Raises:
        FlukeprintError: the teacher has seen photos that this run will be scored on, or does not
            embed; or no photo lies in the folder.
    """
    if not config.teacher:
        return ()
    if folder.taught.exists():
        return kept_taught(folder.taught)
    teacher = load_model(Path(config.teacher))
    _refuse_informed(teacher, collection, outer, config.teacher)
    paths = find_photos([Path(config.unlabelled)])
    fresh = _strangers(paths, collection.table, progress)
    network = Network(teacher)
    known = set(inner.gallery)
    rows = tuple(row for row in collection.table.rows if row.name in known)
    cache = Cache(None, teacher.id)
    gallery = prepare_gallery(Table(collection.table.source, rows), network, cache, progress).index
    done = embed_photos(fresh, network, cache, progress("unlabelled", len(fresh)))
    seen = np.flatnonzero([look.fluke.seen for look in done.looks])
    photos = [fresh[done.places[row]] for row in seen]
    vectors = done.embeddings.vectors[seen]
    beliefs = believe(
        compare(vectors, gallery), Calibration.from_dict(teacher.manifest.calibration)
    )
    named = _named(beliefs, gallery.individuals, config.least_probability)
    named = _paired(named, [str(path) for path in photos], vectors, config.least_likeness)
    taught = tuple(
        Taught(str(photos[row]), done.embeddings.hashes[seen[row]][:HASH_DIGITS], whale)
        for row, whale in enumerate(named)
        if whale or config.distil_weight
    )
    write_text(folder.taught, json.dumps([asdict(one) for one in taught], indent=1) + "\n")
    return taught


def kept_taught(path: Path) -> tuple[Taught, ...]:
    """What an earlier call kept in a run's folder.

    Raises:
        FlukeprintError: the file is missing or damaged.
    """
    try:
        return tuple(Taught(**one) for one in json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise FlukeprintError(
            f"{path}: cannot be used; delete it and run the training again: {error}"
        ) from None


def _refuse_informed(teacher: Model, collection: Collection, outer: Split, where: str) -> None:
    if teacher.manifest.kind != "embedding":
        raise FlukeprintError(f"{where}: a classifier; a teacher must be a model that embeds")
    if gives_away(set(teacher.manifest.trained_on), collection, outer):
        raise FlukeprintError(
            f"{where}: has learned from photos that this run keeps for the end; teach with a model "
            "of the same split"
        )


def _strangers(paths: list[Path], table: Table, progress: Progress) -> list[Path]:
    """The photos that are no labelled photo's twin, one of each set of twins."""
    labelled = sorted({row.path for row in table.rows})
    glances = glance_all([*labelled, *paths], progress("reading", len(labelled) + len(paths)))
    good = [(place, one) for place, one in enumerate(glances) if not isinstance(one, Failure)]
    taken: set[int] = set()
    strangers = []
    for (place, one), group in zip(good, twin_groups([one for _, one in good]), strict=True):
        if place >= len(labelled) and int(group) not in taken:  # the labelled come first
            strangers.append(one.path)
        taken.add(int(group))
    return strangers


def _named(beliefs: Beliefs, individuals: tuple[str, ...], least: float) -> list[str]:
    """Each photo's likeliest whale where that is probable enough, else an empty name."""
    if not individuals:
        return [""] * len(beliefs.new)
    first = beliefs.whales.argmax(axis=1)
    sure = beliefs.whales[np.arange(len(first)), first] >= least
    return [
        individuals[whale] if certain else "" for whale, certain in zip(first, sure, strict=True)
    ]


def _paired(
    named: list[str], photos: list[str], vectors: NDArray[np.float32], least: float
) -> list[str]:
    """The names, and those of photos that are each other's nearest with a cosine of ``least``.

    ``vectors`` (N, D) are unit vectors. Where one of the two has a name the other takes it; where
    neither has they are a whale of their own, named after the first.
    """
    named = list(named)
    nearest, cosine = _nearest(vectors)
    for one, other in enumerate(nearest.tolist()):
        if one < other and nearest[other] == one and cosine[one] >= least:
            whale = named[one] or named[other] or whale_apart(NEW_WHALE, photos[one])
            named[one], named[other] = named[one] or whale, named[other] or whale
    return named


def _nearest(vectors: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Each vector's nearest other one, (N,), and the cosine between them; none of a single one."""
    nearest = np.full(len(vectors), -1, dtype=np.int64)
    cosine = np.full(len(vectors), -np.inf, dtype=np.float32)
    if len(vectors) < 2:
        return nearest, cosine
    for start in range(0, len(vectors), BLOCK):
        alike = vectors[start : start + BLOCK] @ vectors.T
        rows = np.arange(len(alike))
        alike[rows, start + rows] = -np.inf
        nearest[start : start + BLOCK] = alike.argmax(axis=1)
        cosine[start : start + BLOCK] = alike.max(axis=1)
    return nearest, cosine
