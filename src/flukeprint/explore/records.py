"""What an exploration finds, as counts; ``explore.json`` holds these fields as they are."""

from __future__ import annotations

from dataclasses import dataclass

from flukeprint.records import NEW_WHALE, Failure


@dataclass(frozen=True, slots=True)
class TailStep:
    """So many individuals have exactly so many photos."""

    photos: int
    individuals: int


@dataclass(frozen=True, slots=True)
class Portrayed:
    """An individual and its number of photos."""

    individual: str
    photos: int


@dataclass(frozen=True, slots=True)
class Whales:
    """Who is in the collection; ``new_whale`` is counted apart and is no individual.

    ``tail`` goes from the fewest photos to the most; ``most`` holds the most photographed ten.
    ``one_file`` counts individuals all of whose readable photos are copies of one file.
    """

    individuals: int
    named_photos: int
    new_whale_photos: int
    one_photo: int
    one_file: int
    median_photos: float
    tail: tuple[TailStep, ...]
    most: tuple[Portrayed, ...]


@dataclass(frozen=True, slots=True)
class Size:
    """A decoded, upright size in pixels and how many photos have it."""

    width_px: int
    height_px: int
    photos: int


@dataclass(frozen=True, slots=True)
class Spread:
    """Least, median and most of a measure; zeros where there is no photo."""

    least: float
    median: float
    most: float


@dataclass(frozen=True, slots=True)
class Sizes:
    """Every size that occurs, commonest first. ``aspect`` is width / height."""

    width_px: Spread
    height_px: Spread
    aspect: Spread
    sizes: tuple[Size, ...]


@dataclass(frozen=True, slots=True)
class Shade:
    """Photos whose mean channel difference, in grey levels, is at most ``most``."""

    name: str
    most: float
    photos: int


@dataclass(frozen=True, slots=True)
class Colour:
    """Grey is a mean channel difference of at most ``tolerance`` grey levels."""

    tolerance: float
    grey: int
    colour: int
    shades: tuple[Shade, ...]


@dataclass(frozen=True, slots=True)
class Identical:
    """Photos that are the same file, and the labels of each, sorted, ``new_whale`` among them."""

    sha256: str
    photos: tuple[str, ...]
    labels: tuple[tuple[str, ...], ...]

    @property
    def all_labels(self) -> tuple[str, ...]:
        """The labels of all the photos, sorted."""
        return tuple(sorted(set().union(*self.labels)))

    @property
    def named(self) -> int:
        """How many individuals the labels name."""
        return len(set(self.all_labels) - {NEW_WHALE})


@dataclass(frozen=True, slots=True)
class Near:
    """Two different files that show the same picture. ``gap`` is the mean difference of their
    contrast-stretched thumbnails in grey levels. Each file stands for its identical copies."""

    photos: tuple[str, str]
    labels: tuple[tuple[str, ...], tuple[str, ...]]
    gap: float

    @property
    def agree(self) -> bool:
        """Do both carry the same labels?"""
        return self.labels[0] == self.labels[1]


@dataclass(frozen=True, slots=True)
class Twins:
    """Identical files by SHA-256, and near twins by perceptual hash and pixels.

    ``photos_with_twin`` counts photos with an identical or a near twin, each once.
    ``several_labels`` and ``several_named`` count groups of identical files with more than one
    label, and with more than one individual.
    """

    distinct_files: int
    identical_groups: int
    identical_files: int
    several_labels: int
    several_named: int
    near_pairs: int
    near_pairs_disagreeing: int
    photos_with_twin: int
    identical: tuple[Identical, ...]
    near: tuple[Near, ...]


@dataclass(frozen=True, slots=True)
class Exploration:
    """All that :func:`tally` finds. ``photos`` counts distinct paths, read or not.

    Counts of whales are of the table's rows; sizes, colour and twins of the photos that could be
    read.
    """

    source: str
    photos: int
    readable: int
    photos_with_several_labels: int
    whales: Whales
    sizes: Sizes
    colour: Colour
    twins: Twins
    unreadable: tuple[Failure, ...]
    notes: tuple[str, ...]
