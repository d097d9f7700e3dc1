"""How well flukes are found, and other things told apart, cross-validated.

    python benchmarks/find_flukes.py DATA --out FOLDER [--folds 5] [--steps N]

DATA is a labelled collection with boxes.csv and not_flukes/. Each fold trains a localiser as
flukeprint train does, on the boxes and photos of the other folds, and looks at its own: photos of
flukes, photos of other things, and strips of sea, sky, boats and text cut from beside the boxes; at
drawn pages of text in fonts that it has not seen, and gulls, boats and backs drawn on its strips;
and at its boxed photos turned by an angle, for how far off the tilt is that it finds, against what
it found before they were turned. Each is scored at the bar that ships, which was chosen by these
very figures, and "at the bars" below which one in a hundred of the other folds' flukes lies. Twins
lie in one fold. Folds that are done are not done again. Prints JSON, kept in
FOLDER/find-flukes.json.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ending import plain_errors
from flukeprint.collection import Collection, read_collection
from flukeprint.drawn.others import OTHER_FONTS
from flukeprint.files import make_folder, read_json, write_text
from flukeprint.records import SEEN
from flukeprint.tables import fingerprint
from flukeprint.training.augment import Warp
from flukeprint.training.boxed import (
    beside,
    boxes_file,
    boxes_of,
    drawn_boxes,
    drawn_pages,
    hand_boxes,
    not_flukes,
    overlaps,
    squashed_photos,
    stock_of,
    things_on,
)
from flukeprint.training.config import TrainConfig
from flukeprint.training.localiser import FlukeNet
from flukeprint.training.localiser_fit import fit_localiser, flukes_on

SEED, DRAWN_SEED, DRAWN = 0, 1, 200
REFUSED = 0.01
ANGLES_DEG = (10, 20, 30)


def main() -> None:
    """Parse, train what is missing, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=TrainConfig().localiser_steps)
    asked = parser.parse_args()
    with plain_errors(parser):
        collection = read_collection(asked.data)
        make_folder(asked.out)
        boxes = boxes_file(asked.data).read_bytes()
        stand = hashlib.sha256(fingerprint(collection.table).encode() + boxes).hexdigest()[:8]
        parts = []
        for fold in range(asked.folds):
            kept = asked.out / f"fold-{fold}-of-{asked.folds}-{asked.steps}-{stand}.json"
            if not kept.is_file():
                print(f"fold {fold + 1} of {asked.folds}", file=sys.stderr)
                part = measure(asked.data, collection, fold, asked.folds, asked.steps)
                write_text(kept, json.dumps(part) + "\n")
            parts.append(read_json(kept))
        result = {"folds": asked.folds, "steps": asked.steps, **summary(parts)}
        write_text(asked.out / "find-flukes.json", json.dumps(result, indent=1) + "\n")
        print(json.dumps(result, indent=1))


def measure(
    data: Path, collection: Collection, fold: int, folds: int, steps: int
) -> dict[str, list[float]]:
    """One fold's overlaps with boxes, and the probabilities of a fluke on each kind of picture."""
    paths = {row.name: row.path for row in collection.table.rows}
    fold_of = {name: collection.twin_group[name] % folds for name in collection.twin_group}
    listing = boxes_file(data)
    boxed = set(boxes_of(listing))
    mine = [name for name in fold_of if fold_of[name] == fold]
    others = [name for name in fold_of if fold_of[name] != fold]
    known = hand_boxes(listing, collection.table, others)
    held = hand_boxes(listing, collection.table, mine)
    strangers = not_flukes(data)
    apart = torch.arange(len(strangers)) % folds == fold
    unboxed = squashed_photos([paths[name] for name in others if name not in boxed])
    stock = stock_of(known, drawn_boxes(TrainConfig()), strangers[~apart], SEED)
    localiser = fit_localiser(stock, unboxed, steps=steps, seed=SEED)
    strips = beside(held)
    pages = drawn_pages(DRAWN // folds, DRAWN_SEED + fold, OTHER_FONTS)
    return {
        "overlaps": overlaps(localiser, held).tolist(),
        "flukes": shown(localiser, squashed_photos([paths[name] for name in mine])),
        "not_flukes": shown(localiser, strangers[apart]),
        "beside": shown(localiser, strips),
        "pages": shown(localiser, pages),
        "things": shown(localiser, things_on(strips, DRAWN // folds, DRAWN_SEED + fold)),
        **{f"tilt {angle}": tilt_errors(localiser, held.photos, angle) for angle in ANGLES_DEG},
    }


def tilt_errors(localiser: FlukeNet, photos: Tensor, angle_deg: float) -> list[float]:
    """How many degrees the tilt found in turned photos is off, either way round."""
    angle = torch.deg2rad(torch.tensor(angle_deg))
    cos, sin = float(torch.cos(angle)), float(torch.sin(angle))
    before = tilts(localiser, photos)
    errors = []
    for way in (-1, 1):
        theta = torch.tensor([[cos, way * sin, 0.0], [-way * sin, cos, 0.0]])
        turned = Warp(theta.expand(len(photos), 2, 3)).apply(photos.float(), *photos.shape[2:])
        errors += (tilts(localiser, turned) - before - way * angle_deg).abs().tolist()
    return errors


def tilts(localiser: FlukeNet, photos: Tensor) -> Tensor:
    """The tilt of the fluke in each photo, in degrees."""
    slopes = torch.tensor([fluke.slope for fluke in flukes_on(localiser, photos)])
    return torch.rad2deg(torch.atan(slopes))


def shown(localiser: FlukeNet, photos: Tensor) -> list[float]:
    """The probability that each photo shows a fluke."""
    return [fluke.probability for fluke in flukes_on(localiser, photos)]


def summary(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """All folds together, and the shares passed and refused in each."""
    result: dict[str, Any] = {}
    overlap = np.array([one for part in parts for one in part["overlaps"]])
    result["boxes"] = len(overlap)
    result["overlap_mean"] = float(overlap.mean())
    result["overlap_above_half"] = float((overlap > 0.5).mean())
    flukes = [np.array(part["flukes"]) for part in parts]
    bars = [_bar([*flukes[:fold], *flukes[fold + 1 :]]) for fold in range(len(flukes))]
    result["bars"] = bars
    for kind in ("flukes", "not_flukes", "beside", "pages", "things"):
        shares = [np.array(part[kind]) for part in parts]
        result[kind] = {
            "photos": sum(map(len, shares)),
            **_wrong(shares, [SEEN] * len(shares), kind == "flukes", ""),
            **_wrong(shares, bars, kind == "flukes", "_at_the_bars"),
        }
    for angle in ANGLES_DEG:
        off = np.concatenate([part[f"tilt {angle}"] for part in parts])
        result[f"turned_{angle}_deg"] = {
            "photos": len(off),
            "median_error_deg": float(np.median(off)),
        }
    return result


def _bar(flukes: Sequence[NDArray[np.float64]]) -> float:
    """The probability that so many of other folds' flukes have less than."""
    return float(np.quantile(np.concatenate(flukes), REFUSED))


def _wrong(
    shares: Sequence[NDArray[np.float64]], bars: Sequence[float], flukes: bool, which: str
) -> dict[str, float | list[float]]:
    """The share of flukes that is refused, or of other pictures that is not, in all and by fold."""
    name = f"refused{which}" if flukes else f"passed{which}"
    wrong = [(one < bar) == flukes for one, bar in zip(shares, bars, strict=True)]
    by_fold = [float(one.mean()) for one in wrong]
    return {name: float(np.concatenate(wrong).mean()), f"{name}_by_fold": by_fold}


if __name__ == "__main__":
    main()
