"""How much two models say the same of photos that nobody has named.

    python benchmarks/agreement.py PHOTOS DATA --models default best --out FOLDER [--every 10]

Every tenth photo of the folder PHOTOS, by name, is compared with the labelled collection DATA by
both models. It tells whether a model that took its beliefs over from another, and cannot be scored,
is as sure as the other: mean probability of the first answer and of "new", first answers that name
a whale, and the share of photos on which both first answers are the same. Where one of them sees no
fluke the photo is left out. Writes FOLDER/agreement.json.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from ending import plain_errors
from flukeprint.cache import Cache, default_folder
from flukeprint.console_progress import progress_bar
from flukeprint.errors import FlukeprintError
from flukeprint.files import check_outside, make_folder, write_text
from flukeprint.identify import identify
from flukeprint.model import load_model
from flukeprint.network import Network
from flukeprint.photos import find_photos
from flukeprint.progress import Progress
from flukeprint.records import NEW_WHALE, Identification
from flukeprint.tables import read_table

First = tuple[str, float]
"""The likeliest answer, a whale's name or ``new_whale``, and its probability."""


def main() -> None:
    """Parse, ask both models, compare, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--models", type=Path, nargs=2, required=True)
    parser.add_argument("--every", type=int, default=10)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    with plain_errors(parser):
        check_outside(asked.out, asked.data)
        photos = find_photos([asked.photos])[:: asked.every]
        with progress_bar() as progress:
            answers = [answers_of(model, photos, asked.data, progress) for model in asked.models]
        body = compared([str(model) for model in asked.models], answers)
        make_folder(asked.out)
        write_text(asked.out / "agreement.json", json.dumps(body, indent=1) + "\n")
        print(json.dumps(body, indent=1))


def answers_of(
    path: Path, photos: Sequence[Path], data: Path, progress: Progress
) -> list[Identification]:
    """What a model says of the photos, in their order."""
    model = load_model(path)
    cache = Cache(default_folder(), model.id)
    return identify(photos, read_table(data), Network(model), cache=cache, progress=progress)[0]


def first_of(answer: Identification) -> First | None:
    """The first answer; none of a photo without a fluke."""
    if answer.new is None:
        return None
    said = [(one.individual, one.probability) for one in answer.candidates[:1]]
    return max([(NEW_WHALE, answer.new), *said], key=itemgetter(1))


def compared(names: Sequence[str], answers: Sequence[Sequence[Identification]]) -> dict[str, Any]:
    """The figures of both models, and how often they agree.

    Raises:
        FlukeprintError: no photo shows a fluke to both.
    """
    pairs = [pair for pair in zip(*answers, strict=True) if all(map(first_of, pair))]
    if not pairs:
        raise FlukeprintError("no photo shows a fluke to both models")
    body: dict[str, Any] = {"photos": len(pairs)}
    sides = []
    for name, mine in zip(names, zip(*pairs, strict=True), strict=True):
        firsts = [first for first in map(first_of, mine) if first]
        sides.append([whale for whale, _ in firsts])
        body[name] = {
            "first answer": float(np.mean([share for _, share in firsts])),
            "new": float(np.mean([one.new for one in mine])),
            "named": sum(whale != NEW_WHALE for whale in sides[-1]),
        }
    body["same first answer"] = float(
        np.mean([one == other for one, other in zip(*sides, strict=True)])
    )
    return body


if __name__ == "__main__":
    main()
