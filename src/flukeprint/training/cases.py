"""The queries and catalogues that a model's calibration is fitted to, all through the core.

Two fifths of the weight are the validation split as it is, a fifth each parts of it with fewer
whales, a catalogue of whales that the network never saw, and catalogues of drawn whales that never
joined a training. The fit has to serve small catalogues and whales of another kind as well, and
above all the catalogues of people who never train: a network has learned its own gallery by heart,
and finds photos of one whale less alike in any other.
"""

from __future__ import annotations

import numpy as np

from flukeprint.drawn import draw_whale, photograph
from flukeprint.evaluate import EmbeddedTable, ask, gallery_of, usable
from flukeprint.identify import likeness_of, softmax_index
from flukeprint.model import Manifest
from flukeprint.network import Network
from flukeprint.progress import Progress, no_progress
from flukeprint.rank import compare, index_gallery
from flukeprint.records import Split, Table
from flukeprint.splits import other_catalogues
from flukeprint.training.calibration import SIZES, Case, smaller_catalogues
from flukeprint.training.data import grey

DRAWN_SEEDS = range(1_000_000, 1_000_240)  # apart from training's (from 0) and the demo's (2**31)
DRAWN_SHOTS = 3
DRAWN_SIZES = {20: 4, 40: 4, 80: 4, 160: 2}


def real_cases(split: Split, embedded: EmbeddedTable, manifest: Manifest) -> list[Case]:
    """The validation split, weight 2, and smaller catalogues of its whales, weight 1 in all.

    Of a softmax model, of whose photos ``embedded`` need hold the queries only, there is the split
    alone: it chooses among the whales it was taught whatever the catalogue, never among fewer. A
    whale that it was not taught is new to it.
    """
    whole = _case(split, embedded, manifest, 2.0)
    if manifest.kind == "softmax":
        return [whole]
    return [whole, *smaller_catalogues(whole.likeness, whole.truth, SIZES)]


def strange_cases(
    split: Split, embedded: EmbeddedTable, twin_group: dict[str, int], manifest: Manifest
) -> list[Case]:
    """A catalogue of whales that the validation split kept from training, weight 1.

    None where it kept too few, or for a softmax model, which names no others than it was taught.
    """
    if manifest.kind == "softmax":
        return []
    names = {*split.train, *split.gallery, *split.queries}
    table = embedded.table
    part = Table(table.source, tuple(row for row in table.rows if row.name in names))
    strange = other_catalogues(split, part, twin_group)
    return [_case(one, embedded, manifest, 1.0) for one in strange]


def _case(split: Split, embedded: EmbeddedTable, manifest: Manifest, weight: float) -> Case:
    asked = ask(split, embedded.table, usable(split, embedded, manifest))
    index = (
        softmax_index((), manifest)
        if manifest.kind == "softmax"
        else gallery_of(split, embedded, manifest)
    )
    code = {name: column for column, name in enumerate(index.individuals)}
    truth = np.array([code.get(label, -1) for label in asked.labels], dtype=np.int64)
    rows = [embedded.row_of[name] for name in asked.names]
    likeness = likeness_of(embedded.embeddings.vectors[rows], index, manifest)
    return Case(likeness, truth, weight)


def drawn_cases(network: Network, progress: Progress = no_progress) -> list[Case]:
    """Catalogues of drawn whales with two photos each, asked about by a third; weight 1 in all.

    For models of embeddings: no softmax model was taught these whales.
    """
    step = progress("drawing", len(DRAWN_SEEDS))
    vectors = []
    for seed in DRAWN_SEEDS:
        whale = draw_whale(seed)
        photos = [photograph(whale, shot).pixels for shot in range(DRAWN_SHOTS)]
        if network.model.manifest.channels == 1:
            photos = [grey(pixels) for pixels in photos]
        flukes = network.locate([network.squash(pixels) for pixels in photos])
        cuts = [network.cut(pixels, fluke) for pixels, fluke in zip(photos, flukes, strict=True)]
        vectors.append(network.embed(cuts))
        step(1)
    names = [f"{seed:07d}" for seed in DRAWN_SEEDS for _ in range(DRAWN_SHOTS - 1)]
    gallery = index_gallery(np.concatenate([shots[:-1] for shots in vectors]), names, names)
    likeness = compare(np.stack([shots[-1] for shots in vectors]), gallery)
    truth = np.arange(len(DRAWN_SEEDS), dtype=np.int64)
    return smaller_catalogues(likeness, truth, DRAWN_SIZES)
