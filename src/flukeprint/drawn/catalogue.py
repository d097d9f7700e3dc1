"""Whole made-up catalogues of drawn whales, for the demo and for tests."""

import csv
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from flukeprint.drawn.photo import photograph
from flukeprint.drawn.whale import check_number, draw_whale
from flukeprint.errors import FlukeprintError
from flukeprint.files import make_folder, write_bytes, write_text
from flukeprint.progress import Step
from flukeprint.records import NEW_WHALE

_CATALOGUE_STREAM = 4
_CATALOGUE_SEEDS = 2**31  # catalogues' whales have seeds from here on: none joins a training


@dataclass(frozen=True, slots=True)
class DrawnCatalogue:
    """Where a written catalogue lies: ``answers`` maps each query to its whale or "new_whale"."""

    gallery: Path
    queries: tuple[Path, ...]
    answers: dict[Path, str]


def write_catalogue(
    folder: Path,
    *,
    whales: int,
    photos: int,
    strangers: int,
    queries: int,
    seed: int,
    progress: Step | None = None,
) -> DrawnCatalogue:
    """Write a made-up catalogue of JPEG photos with queries and their answers.

    ``folder/gallery/<individual>/`` gets ``photos`` photos of each of ``whales`` whales;
    ``folder/queries/`` gets ``queries`` further photos of each and one of each of ``strangers``
    other whales; ``folder/answers.csv`` (path,identity) names the whale of each query, paths
    relative to ``folder`` with "/", "new_whale" for strangers. Query names are random and
    listed in their own order, so they tell nothing. ``seed`` is in 0..2**32-1; ``progress`` is
    told of each photo.

    Raises:
        ValueError: a count is negative or the seed out of range.
        FlukeprintError: ``folder`` already has a gallery, queries or answers (two catalogues
            mixed would spoil both), or cannot be written to.
    """
    check_number("seed", seed)
    if min(whales, photos, strangers, queries) < 0:
        raise ValueError("the counts of a catalogue must not be negative")
    for name in ("gallery", "queries", "answers.csv"):
        if (folder / name).exists():
            raise FlukeprintError(f"{folder / name}: already there; choose an empty folder")
    rng = np.random.default_rng([_CATALOGUE_STREAM, seed])
    seeds = _CATALOGUE_SEEDS + rng.choice(_CATALOGUE_SEEDS, whales + strangers, replace=False)
    count = whales * (photos + queries) + strangers
    names = iter(f"{number:08x}.jpg" for number in rng.choice(2**32, count, replace=False).tolist())
    gallery, asked = folder / "gallery", folder / "queries"
    make_folder(asked)
    make_folder(gallery)
    pending: list[tuple[str, int, int, str]] = []
    for place, whale_seed in enumerate(seeds.tolist()):
        known = place < whales
        identity = f"drawn_{place + 1:04d}" if known else NEW_WHALE
        if known:
            make_folder(gallery / identity)
            for shot in range(photos):
                _write_photo(gallery / identity / next(names), whale_seed, shot, progress)
        for shot in range(photos, photos + queries) if known else (0,):
            pending.append((next(names), whale_seed, shot, identity))
    # Written in the order of their names, so that file times tell nothing either.
    answers: dict[Path, str] = {}
    for name, whale_seed, shot, identity in sorted(pending):
        _write_photo(asked / name, whale_seed, shot, progress)
        answers[asked / name] = identity
    _write_answers(folder, answers)
    return DrawnCatalogue(gallery, tuple(answers), answers)


def _write_photo(path: Path, whale_seed: int, shot: int, progress: Step | None) -> None:
    stream = io.BytesIO()
    photo = photograph(draw_whale(whale_seed), shot)
    Image.fromarray(photo.pixels).save(stream, "JPEG", quality=90)
    write_bytes(path, stream.getvalue())
    if progress:
        progress(1)


def _write_answers(folder: Path, answers: dict[Path, str]) -> None:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["path", "identity"])
    for path, identity in answers.items():
        table.writerow([path.relative_to(folder).as_posix(), identity])
    write_text(folder / "answers.csv", text.getvalue())
