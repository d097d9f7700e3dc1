"""What is in a labelled collection, counted. Pure: glances in, counts out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from flukeprint.explore.records import (
    Colour,
    Exploration,
    Identical,
    Near,
    Portrayed,
    Shade,
    Size,
    Sizes,
    Spread,
    TailStep,
    Twins,
    Whales,
)
from flukeprint.records import NEW_WHALE, Failure, Table
from flukeprint.twins import Glance, groups, near_pairs

GREY_TOLERANCE = 0.5  # grey levels; a grey JPEG saved as RGB stays under it, tinted ones do not
SHADES = (
    ("grey", GREY_TOLERANCE),
    ("faint colour", 5.0),
    ("muted colour", 15.0),
    ("clear colour", 40.0),
    ("strong colour", 256.0),
)
"""Names of colourfulness and the most of ``Glance.colour`` that each reaches to."""

MOST_SHOWN = 10


def photo_paths(table: Table) -> list[Path]:
    """The table's photos, each once, in order."""
    return list(dict.fromkeys(row.path for row in table.rows))


def tally(table: Table, glances: Iterable[Glance | Failure]) -> Exploration:
    """Count what a table holds, given a glance at each of :func:`photo_paths`, in any order."""
    seen = {item.path: item for item in glances}
    paths = photo_paths(table)
    missing = [path for path in paths if path not in seen]
    if missing:
        raise ValueError(f"{len(missing)} photos were not glanced at, such as {missing[0]}")
    results = [seen[path] for path in paths]
    read = [item for item in results if isinstance(item, Glance)]
    labels = _labels(table)
    return Exploration(
        source=str(table.source),
        photos=len(paths),
        readable=len(read),
        photos_with_several_labels=sum(len(found) > 1 for found in labels.values()),
        whales=_whales(labels, {item.path: item.sha256 for item in read}),
        sizes=_sizes(read),
        colour=_colour(read),
        twins=_twins(read, labels, {row.path: row.name for row in reversed(table.rows)}),
        unreadable=tuple(item for item in results if isinstance(item, Failure)),
        notes=table.notes,
    )


def _labels(table: Table) -> dict[Path, set[str]]:
    found: dict[Path, set[str]] = defaultdict(set)
    for row in table.rows:
        found[row.path].add(row.individual)
    return found


def _whales(labels: Mapping[Path, set[str]], sha256: Mapping[Path, str]) -> Whales:
    counts = Counter(label for found in labels.values() for label in found)
    new_whales = counts.pop(NEW_WHALE, 0)
    files: dict[str, set[str]] = defaultdict(set)
    for path, found in labels.items():
        for individual in found if path in sha256 else ():
            files[individual].add(sha256[path])
    tail = sorted(Counter(counts.values()).items())
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return Whales(
        individuals=len(counts),
        named_photos=sum(bool(found - {NEW_WHALE}) for found in labels.values()),
        new_whale_photos=new_whales,
        one_photo=dict(tail).get(1, 0),
        one_file=sum(len(files[individual]) == 1 for individual in counts),
        median_photos=float(np.median(list(counts.values()))) if counts else 0.0,
        tail=tuple(TailStep(photos, whales) for photos, whales in tail),
        most=tuple(Portrayed(name, photos) for name, photos in ranked[:MOST_SHOWN]),
    )


def _sizes(read: Sequence[Glance]) -> Sizes:
    counts = Counter((item.width, item.height) for item in read)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return Sizes(
        width_px=_spread([item.width for item in read]),
        height_px=_spread([item.height for item in read]),
        aspect=_spread([item.width / item.height for item in read]),
        sizes=tuple(Size(width, height, photos) for (width, height), photos in ranked),
    )


def _spread(values: Sequence[float]) -> Spread:
    if not values:
        return Spread(0.0, 0.0, 0.0)
    least, median, most = (round(float(f(values)), 4) for f in (np.min, np.median, np.max))
    return Spread(least, median, most)


def _colour(read: Sequence[Glance]) -> Colour:
    edges = [most for _, most in SHADES]
    steps = np.searchsorted(edges, [item.colour for item in read], side="left")
    counts = np.bincount(steps, minlength=len(SHADES))
    shades = tuple(
        Shade(name, most, int(photos)) for (name, most), photos in zip(SHADES, counts, strict=True)
    )
    return Colour(GREY_TOLERANCE, shades[0].photos, len(read) - shades[0].photos, shades)


def _twins(
    read: Sequence[Glance], labels: Mapping[Path, set[str]], names: Mapping[Path, str]
) -> Twins:
    files: dict[str, list[Glance]] = defaultdict(list)
    for item in read:
        files[item.sha256].append(item)
    copies = [
        Identical(
            sha256,
            tuple(names[item.path] for item in same),
            tuple(tuple(sorted(labels[item.path])) for item in same),
        )
        for sha256, same in files.items()
    ]
    first = [same[0] for same in files.values()]
    pairs = near_pairs(first)
    near = tuple(
        Near(
            (copies[a].photos[0], copies[b].photos[0]),
            (copies[a].all_labels, copies[b].all_labels),
            round(float(np.abs(first[a].thumb - first[b].thumb).mean()), 2),
        )
        for a, b in pairs
    )
    group = groups(len(copies), pairs)
    members = np.bincount(group, weights=[len(copy.photos) for copy in copies])
    identical = tuple(copy for copy in copies if len(copy.photos) > 1)
    return Twins(
        distinct_files=len(copies),
        identical_groups=len(identical),
        identical_files=sum(len(copy.photos) for copy in identical),
        several_labels=sum(len(copy.all_labels) > 1 for copy in identical),
        several_named=sum(copy.named > 1 for copy in identical),
        near_pairs=len(near),
        near_pairs_disagreeing=sum(not pair.agree for pair in near),
        photos_with_twin=int(members[members > 1].sum()),
        identical=identical,
        near=near,
    )
