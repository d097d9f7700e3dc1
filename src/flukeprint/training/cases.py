"""The queries and catalogues that a model's calibration is fitted to, all through the core.

Half the weight is the validation split as it is, a quarter parts of it with fewer whales, a quarter
catalogues of drawn whales that never joined a training: the fit has to serve small catalogues and
whales of another kind as well.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from flukeprint.drawn import draw_whale, photograph
from flukeprint.evaluate import EmbeddedTable, ask, gallery_of, usable
from flukeprint.identify import likeness_of, softmax_index
from flukeprint.model import Manifest
from flukeprint.network import Network
from flukeprint.progress import Progress, no_progress
from flukeprint.rank import compare, index_gallery
from flukeprint.records import Split
from flukeprint.training.calibration import SIZES, Case, smaller_catalogues

DRAWN_SEEDS = range(1_000_000, 1_000_240)  # apart from training's (from 0) and the demo's (2**31)
DRAWN_SHOTS = 3
DRAWN_SIZES = {20: 4, 40: 4, 80: 4, 160: 2}


def real_cases(split: Split, embedded: EmbeddedTable, manifest: Manifest) -> list[Case]:
    """The validation split, weight 2, and smaller catalogues of its whales, weight 1 in all.

    Of a softmax model, of whose photos ``embedded`` need hold the queries only, there is the split
    alone: it chooses among the whales it was taught whatever the catalogue, never among fewer. A
    whale that it was not taught is new to it.
    """
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
    whole = Case(likeness, truth, 2.0)
    if manifest.kind == "softmax":
        return [whole]
    return [whole, *smaller_catalogues(likeness, truth, SIZES)]


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
            photos = [np.asarray(Image.fromarray(pixels).convert("L")) for pixels in photos]
        flukes = network.locate([network.squash(pixels) for pixels in photos])
        cuts = [network.cut(pixels, fluke) for pixels, fluke in zip(photos, flukes, strict=True)]
        vectors.append(network.embed(cuts))
        step(1)
    names = [f"{seed:07d}" for seed in DRAWN_SEEDS for _ in range(DRAWN_SHOTS - 1)]
    gallery = index_gallery(np.concatenate([shots[:-1] for shots in vectors]), names, names)
    likeness = compare(np.stack([shots[-1] for shots in vectors]), gallery)
    truth = np.arange(len(DRAWN_SEEDS), dtype=np.int64)
    return smaller_catalogues(likeness, truth, DRAWN_SIZES)
