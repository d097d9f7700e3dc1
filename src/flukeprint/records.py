"""The few value types that stages pass on. They hold data and check it; they do no work."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

NEW_WHALE = "new_whale"
"""The competition's label for a whale that is in no catalogue; never an individual."""
COMPETITION_NEW_SHARE = 0.328
"""The share of the competition's queries that are of new whales."""
EVERYTHING = "everything"
"""The protocol of a training that keeps no photo back."""
ANSWERS = 5
"""How many answers to a photo the competition counts: MAP@5."""
MOST = 1e9
"""What no number in a split's settings comes near."""


@dataclass(frozen=True, slots=True)
class Box:
    """A fluke's bounds as fractions of the photo's width (x) and height (y), 0 to 1."""

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        if not (0.0 <= self.x0 < self.x1 <= 1.0 and 0.0 <= self.y0 < self.y1 <= 1.0):
            raise ValueError(f"not a box inside the photo: {self}")

    @property
    def corners(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom."""
        return self.x0, self.y0, self.x1, self.y1


WHOLE = Box(0.0, 0.0, 1.0, 1.0)
SEEN = 0.82
"""The probability from which a photo is said to show a fluke: one fluke in a hundred has less."""


@dataclass(frozen=True, slots=True)
class Fluke:
    """The largest fluke in a photo, and how it lies there.

    ``probability`` says whether that is a fluke at all. ``slope`` is how far the line from tip to
    tip falls, in fractions of the photo's height per fraction of its width; ``upside_down`` means
    that the tips point down. ``others`` counts the smaller flukes in the photo.
    """

    box: Box
    probability: float = 1.0
    slope: float = 0.0
    upside_down: bool = False
    others: int = 0

    @property
    def seen(self) -> bool:
        """Whether this is a fluke rather than none."""
        return self.probability >= SEEN


@dataclass(frozen=True, slots=True)
class Quality:
    """How much of a fluke a photo shows.

    ``width_px`` and ``height_px`` are the fluke's size in pixels of the photo as it was taken,
    ``tilt_deg`` how far it has to be turned to lie level, clockwise positive, half a turn for one
    upside down left aside. ``sharpness`` and ``contrast`` run from 0 to 1, and so does ``value``,
    which puts all of them together; :mod:`flukeprint.quality` says how.
    """

    width_px: float
    height_px: float
    sharpness: float
    contrast: float
    tilt_deg: float
    value: float


@dataclass(frozen=True, slots=True)
class Look:
    """What a look at a photo tells before any whale is named."""

    fluke: Fluke
    quality: Quality


@dataclass(frozen=True, slots=True)
class Failure:
    """A photo that could not be read, and why, in words for its owner."""

    path: Path
    reason: str

    def warning(self, done: str = "left out") -> str:
        """A line for its owner, with what was ``done`` about it."""
        return f"warning: {self.path}: {self.reason}; {done}"


@dataclass(frozen=True, slots=True)
class LabelledPhoto:
    """One row of a labelled collection.

    ``name`` identifies the photo within its collection (the competition's base name, or the path
    under the collection's folder); ``date`` and ``encounter`` are empty where not given.
    """

    name: str
    path: Path
    individual: str
    date: str = ""
    encounter: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A labelled collection of photos, checked once when it was read.

    One photo may have several rows where its owner gave it several labels.
    ``notes`` are oddities that were found and lived with, one line each.
    """

    source: Path
    rows: tuple[LabelledPhoto, ...]
    notes: tuple[str, ...] = ()

    @property
    def individuals(self) -> tuple[str, ...]:
        """The catalogued whales, sorted; ``new_whale`` is not one of them."""
        return tuple(sorted({row.individual for row in self.rows} - {NEW_WHALE}))


@dataclass(frozen=True, slots=True)
class Embeddings:
    """What one model's network makes of photos.

    ``vectors`` is (N, D) float32: rows of length 1, or a classifier's logits; ``hashes`` are the N
    photos' SHA-256.
    """

    vectors: NDArray[np.float32]
    hashes: tuple[str, ...]
    model_id: str

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.vectors) != len(self.hashes):
            raise ValueError(
                f"{self.vectors.shape} vectors do not fit {len(self.hashes)} photo hashes"
            )


@dataclass(frozen=True, slots=True)
class Candidate:
    """A whale that a query may be, with its probability and its most alike gallery photos."""

    individual: str
    probability: float
    photos: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Identification:
    """What flukeprint says of one photo.

    ``candidates`` are distinct whales, likeliest first. ``new`` is the probability that the whale
    is in no gallery; with the probabilities of all whales, listed or not, it sums to 1. A photo
    whose ``look`` saw no fluke is not matched: it has neither, but ``guesses``, the labels that it
    would get if it showed one after all, for who has to answer. ``to_review`` says how many of all
    candidates a reviewer should look at, where a miss rate was asked for; 0 without a fluke.
    ``failure`` is set, and nothing else, where the photo could not be read.
    """

    photo: str
    candidates: tuple[Candidate, ...] = ()
    new: float | None = None
    failure: str | None = None
    look: Look | None = None
    to_review: int | None = None
    guesses: tuple[str, ...] = ()

    @property
    def no_fluke(self) -> bool:
        """Whether the photo was read and shows no fluke."""
        return self.look is not None and not self.look.fluke.seen


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95 % bootstrap interval."""

    value: float
    low: float
    high: float


def spelled(name: str) -> str:
    """An individual's name as it is kept: no white space around it, an accent in its one form."""
    return unicodedata.normalize("NFC", name.strip())


def label_of(name: str) -> str:
    """A label as it is kept: a name, or ``new_whale`` however that is spelled ("New Whale")."""
    letters = "".join(letter for letter in name.casefold() if letter.isalnum())
    return NEW_WHALE if letters == "newwhale" else spelled(name)


def whale_apart(individual: str, photo: str) -> str:
    """The individual, or for a photo labelled ``new_whale`` a name that no other photo shares."""
    return f"{NEW_WHALE} {photo}" if individual == NEW_WHALE else individual


def check_recipe(recipe: Mapping[str, object]) -> None:
    """Check what a file says of how a split was made: protocol, seed and settings.

    Raises:
        ValueError: one is missing, or not what flukeprint writes.
    """
    protocol, seed, settings = (recipe.get(part) for part in ("protocol", "seed", "settings"))
    if not isinstance(protocol, str) or type(seed) is not int:
        raise ValueError(f"a split of protocol {protocol!r} and seed {seed!r}")
    if not isinstance(settings, dict):
        raise ValueError("a split's settings are no object")
    for name, number in settings.items():
        if type(number) not in (int, float) or not abs(number) < MOST:
            raise ValueError(f"a split's setting {name} is {number!r}")
    if not 0.0 <= settings.get("new_share", 0.0) < 1.0:
        raise ValueError(f"a split's new_share is {settings['new_share']!r}")


@dataclass(frozen=True, slots=True)
class Split:
    """Which photos a model may learn from, which it compares with, and which it is asked about.

    All three hold photo names of the table whose ``fingerprint`` is kept, in sorted order.
    """

    protocol: str
    seed: int
    fingerprint: str
    train: tuple[str, ...]
    gallery: tuple[str, ...]
    queries: tuple[str, ...]
    fold: int = 0
    settings: dict[str, float] = field(default_factory=dict)
