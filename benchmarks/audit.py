"""How many planted faults of a catalogue the audit finds among its first suspicions.

    python benchmarks/audit.py DATA --model MODEL --exclude-trained|--whole --out FOLDER
        [--seeds 0 1 2]

Of DATA, a labelled collection, one photo of each set of twins makes a catalogue, of whales that the
network never saw; with --whole those that it has learned are in it, too, without planted faults. By
each seed's lottery whales are split in two under a second name, pairs of whales are put under one
name, and photos are moved to another whale's name; no whale has two faults. A split is found where
a suspicion of two names names both halves, a merge where one of two whales names the individual, a
mislabelled photo where a suspicion of a wrong name is of that photo. The collection's own faults,
if it has any, count as wrong suspicions.
"By chance" is what the longest list would find in any order: few whales have several photos, and
the smaller the catalogue, the less a share of merges or mislabels says.

Writes FOLDER/audit.json and audit.md, and prints the tables. Seeds from 100 on are for development.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ending import plain_errors
from flukeprint.cache import Cache, default_folder
from flukeprint.collection import Collection, read_collection
from flukeprint.console_progress import progress_bar
from flukeprint.decide import Calibration
from flukeprint.errors import FlukeprintError
from flukeprint.evaluate import HASH_DIGITS
from flukeprint.files import check_outside, make_folder, write_text
from flukeprint.model import Model, load_model
from flukeprint.network import Network
from flukeprint.outputs import share
from flukeprint.progress import Progress
from flukeprint.records import NEW_WHALE, LabelledPhoto
from flukeprint.scoring import embed_collection
from flukeprint.suspicions import TWO_NAMES, TWO_WHALES, WRONG_NAME, Audit, audit
from markdown_table import table_text

WITHIN = (50, 100, 300)  # suspicions of a kind that a person may look at
SEEDS = (0, 1, 2)
KINDS = {TWO_NAMES: "splits", TWO_WHALES: "merges", WRONG_NAME: "mislabels"}

Whales = dict[str, list[str]]
"""Each whale's photos by name, sorted."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How many faults of each kind to plant, and how many photos a whale has to be split."""

    splits: int = 40
    merges: int = 40
    mislabels: int = 60
    split_from: int = 2


@dataclass(frozen=True, slots=True)
class Fault:
    """One planted fault: the names that a suspicion has to name, or the photo.

    ``fewer`` counts the photos that can tell: on the smaller side of a split or merge, or those
    that the mislabelled photo's own whale keeps.
    """

    kind: str
    names: tuple[str, ...]
    photo: str
    fewer: int


@dataclass(frozen=True, slots=True)
class Planted:
    """Each photo's name as the faulty catalogue has it, and the faults."""

    owner: dict[str, str]
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One seed's audit: each fault's place among the suspicions of its kind, from 1; 0 for none."""

    seed: int
    faults: tuple[Fault, ...]
    places: tuple[int, ...]
    suspicions: dict[str, int]
    judged: dict[str, int]

    def found(self, kind: str, within: int) -> float:
        """The share of one kind's faults, if any, that are among its first so many suspicions."""
        own = [p for f, p in zip(self.faults, self.places, strict=True) if f.kind == kind]
        return sum(0 < place <= within for place in own) / len(own)


def main() -> None:
    """Parse, measure, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--exclude-trained",
        action="store_true",
        help="leave whales that the model has seen out of the catalogue, rather than refuse them",
    )
    parser.add_argument(
        "--whole",
        action="store_true",
        help="keep whales that the model has seen in the catalogue, and plant no faults in them",
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    for kind, count in asdict(Wanted()).items():
        option = f"--{kind.replace('_', '-')}"
        words = "fewest photos of a whale to split" if kind == "split_from" else "how many to plant"
        parser.add_argument(option, type=int, default=count, help=words)
    asked = parser.parse_args()
    wanted = Wanted(asked.splits, asked.merges, asked.mislabels, asked.split_from)
    with plain_errors(parser):
        check_outside(asked.out, asked.data)
        with progress_bar() as progress:
            body = measure(
                asked.data,
                asked.model,
                asked.seeds,
                wanted,
                progress,
                exclude_trained=asked.exclude_trained,
                whole=asked.whole,
            )
        make_folder(asked.out)
        write_text(asked.out / "audit.json", json.dumps(body, indent=1) + "\n")
        write_text(asked.out / "audit.md", tables(body))
        print(tables(body))


def measure(
    data: Path,
    model_path: Path | None,
    seeds: Sequence[int],
    wanted: Wanted,
    progress: Progress,
    *,
    exclude_trained: bool = False,
    whole: bool = False,
) -> dict[str, Any]:
    """Plant, audit and count, for each seed.

    Raises:
        FlukeprintError: the data or the model cannot be used, it compares with no photo, it has
            seen whales that are not to be left out, or too few are left.
    """
    model = load_model(model_path)
    if model.manifest.kind != "embedding":
        raise FlukeprintError("a softmax model compares with no photo; name one of embeddings")
    collection = read_collection(data, progress)
    unseen = unseen_whales(collection, model, exclude_trained or whole)
    everyone = one_of_twins(collection) if whole else unseen
    vectors = embedded_photos(collection, model, everyone, progress)
    there = {whale: [name for name in own if name in vectors] for whale, own in everyone.items()}
    there = {whale: own for whale, own in there.items() if own}
    whales = {whale: own for whale, own in there.items() if whale in unseen}
    others = {name: whale for whale, own in there.items() for name in own if whale not in unseen}
    by = Calibration.from_dict(model.manifest.calibration)
    outcomes = []
    for seed in seeds:
        planted = plant(whales, seed, wanted)
        planted.owner.update(others)
        outcomes.append(outcome(planted, vectors, by, seed))
    return {
        "model": model.id,
        "planted": asdict(wanted),
        "whales": len(whales),
        "whales that the model has seen": len(there) - len(whales),
        "whales with several photos": sum(len(own) > 1 for own in whales.values()),
        "photos": len(vectors),
        "seeds": [_for_json(one) for one in outcomes],
        "mean": {
            KINDS[kind]: {
                str(within): float(np.mean([one.found(kind, within) for one in outcomes]))
                for within in WITHIN
            }
            for kind in {fault.kind: None for fault in outcomes[0].faults}
        },
    }


def unseen_whales(collection: Collection, model: Model, exclude_trained: bool) -> Whales:
    """The whales that the model has not seen.

    Raises:
        FlukeprintError: it has seen some, and they are not to be left out.
    """
    seen = trained_whales(collection, model.manifest.trained_on)
    whales = one_of_twins(collection)
    met = len(seen & set(whales))
    if met and not exclude_trained:
        raise FlukeprintError(
            f"the model has seen {met} of {len(whales)} whales, which would make faults stand "
            "out; leave them out with --exclude-trained"
        )
    return {whale: own for whale, own in whales.items() if whale not in seen}


def embedded_photos(
    collection: Collection, model: Model, whales: Whales, progress: Progress
) -> dict[str, NDArray[np.float32]]:
    """The (D,) embeddings of the whales' photos in which a fluke is seen."""
    names = {name for own in whales.values() for name in own}
    cache = Cache(default_folder(), model.id)
    embedded = embed_collection(collection, Network(model), cache, progress, names)
    return {
        name: embedded.embeddings.vectors[row]
        for name, row in embedded.row_of.items()
        if embedded.looks[row].fluke.seen
    }


def trained_whales(collection: Collection, trained_on: Iterable[str]) -> set[str]:
    """The whales of which the model has seen a photo, or a twin of one under whatever label."""
    seen = set(trained_on)
    group = collection.twin_group
    met = {group[name] for name in group if collection.hashes[name][:HASH_DIGITS] in seen}
    return {row.individual for row in collection.table.rows if group.get(row.name) in met}


def one_of_twins(collection: Collection) -> Whales:
    """Named whales with one photo of each set of twins that lies under a single label."""
    sets: dict[int, list[LabelledPhoto]] = defaultdict(list)
    for row in collection.table.rows:
        if row.name in collection.twin_group:
            sets[collection.twin_group[row.name]].append(row)
    whales: Whales = defaultdict(list)
    for rows in sets.values():
        if len({row.individual for row in rows}) == 1 and rows[0].individual != NEW_WHALE:
            whales[rows[0].individual].append(min(row.name for row in rows))
    return {whale: sorted(whales[whale]) for whale in sorted(whales)}


def plant(whales: Whales, seed: int, wanted: Wanted) -> Planted:
    """Plant faults in as many whales as are wanted, none in two.

    Raises:
        FlukeprintError: there are too few whales.
    """
    owner = {name: whale for whale, own in whales.items() for name in own}
    several = {whale for whale, own in whales.items() if len(own) > 1}
    large = {whale for whale in several if len(whales[whale]) >= wanted.split_from}
    split = _lot(seed, "split", large)[: wanted.splits]
    moved = _lot(seed, "mislabel", several - set(split))[: wanted.mislabels]
    rest = _lot(seed, "rest", set(whales) - set(split) - set(moved))
    needed = wanted.splits, wanted.mislabels, 2 * wanted.merges + wanted.mislabels
    if any(len(got) < few for got, few in zip((split, moved, rest), needed, strict=True)):
        raise FlukeprintError(
            f"{len(whales)} unseen whales, {len(several)} with several photos, are too few for so "
            "many faults; ask for fewer --splits, --merges and --mislabels"
        )
    faults = []
    for whale in split:
        own = _lot(seed, "half", whales[whale])
        second = f"{whale} under a second name"
        owner.update(dict.fromkeys(own[: len(own) // 2], second))
        faults.append(Fault(TWO_NAMES, (whale, second), "", len(own) // 2))
    for one in range(0, 2 * wanted.merges, 2):
        whale, other = rest[one : one + 2]
        owner.update(dict.fromkeys(whales[other], whale))
        fewer = min(len(whales[whale]), len(whales[other]))
        faults.append(Fault(TWO_WHALES, (whale,), "", fewer))
    to = rest[2 * wanted.merges :]
    for whale, wrong in zip(moved, to, strict=False):
        photo = _lot(seed, "photo", whales[whale])[0]
        owner[photo] = wrong
        faults.append(Fault(WRONG_NAME, (wrong, whale), photo, len(whales[whale]) - 1))
    return Planted(owner, tuple(faults))


def _lot(seed: int, what: str, names: Iterable[str]) -> list[str]:
    """In the order of a seed's lottery."""

    def draw(name: str) -> bytes:
        return hashlib.sha256(f"{seed}\0{what}\0{name}".encode(errors="surrogatepass")).digest()

    return sorted(names, key=draw)


def outcome(
    planted: Planted,
    vectors: Mapping[str, NDArray[np.float32]],
    calibration: Calibration,
    seed: int,
) -> Outcome:
    """Audit the faulty catalogue, and look for each fault."""
    photos = sorted(planted.owner)
    names = sorted(set(planted.owner.values()))
    number = {name: place for place, name in enumerate(names)}
    owners = np.array([number[planted.owner[photo]] for photo in photos], dtype=np.int64)
    made = np.stack([vectors[photo] for photo in photos])
    found = audit(made, owners, np.arange(len(photos)), calibration, max(WITHIN))
    places = _places(found, names, photos)
    return Outcome(
        seed,
        planted.faults,
        tuple(places.get(_key(fault), 0) for fault in planted.faults),
        {kind: sum(one.kind == kind for one in found.suspicions) for kind in KINDS},
        {kind: found.judged[kind] for kind in KINDS},
    )


def _key(fault: Fault) -> tuple[str, tuple[str, ...]]:
    return fault.kind, (fault.photo,) if fault.photo else tuple(sorted(fault.names))


def _places(
    found: Audit, names: Sequence[str], photos: Sequence[str]
) -> dict[tuple[str, tuple[str, ...]], int]:
    """Where each suspicion stands among those of its kind, from 1, by what it names."""
    places: dict[tuple[str, tuple[str, ...]], int] = {}
    count: dict[str, int] = defaultdict(int)
    for one in found.suspicions:
        count[one.kind] += 1
        named = tuple(sorted(names[whale] for whale in one.individuals))
        if one.kind == WRONG_NAME:
            named = tuple(photos[row] for row in one.photos)
        places[one.kind, named] = count[one.kind]
    return places


def _for_json(one: Outcome) -> dict[str, Any]:
    body = asdict(one)
    del body["places"]
    for fault, place in zip(body["faults"], one.places, strict=True):
        fault["place"] = place
    return body


def tables(body: dict[str, Any]) -> str:
    """Markdown: what was found by seed and on average, and by how many photos could tell."""
    by_seed: list[dict[str, str]] = []
    by_photos: list[dict[str, str]] = []
    for kind, label in KINDS.items():
        for one in body["seeds"]:
            own = [fault for fault in one["faults"] if fault["kind"] == kind]
            judged = max(one["judged"][kind], 1)
            by_seed.append(
                {
                    "planted": label,
                    "seed": str(one["seed"]),
                    "faults": str(len(own)),
                    "judged": str(one["judged"][kind]),
                    "suspicions": str(one["suspicions"][kind]),
                    **_shares(own),
                    "by chance": share(min(WITHIN[-1] / judged, 1.0)),
                }
            )
        if label in body["mean"]:
            means = {f"in first {n}": share(body["mean"][label][str(n)]) for n in WITHIN}
            blank = dict.fromkeys(by_seed[-1], "-")
            by_seed.append(blank | {"planted": label, "seed": "mean", **means})
        every = [f for one in body["seeds"] for f in one["faults"] if f["kind"] == kind]
        for words, part in (
            ("1", [fault for fault in every if fault["fewer"] == 1]),
            ("2 or more", [fault for fault in every if fault["fewer"] > 1]),
        ):
            row = {"planted": label, "photos that can tell": words, "faults": str(len(part))}
            by_photos.append(row | _shares(part))
    seen = body["whales that the model has seen"]
    beside = f"beside {seen} that it has, " if seen else ""
    several = body["whales with several photos"]
    return (
        f"{body['whales']} whales that the model has not seen, {several} of them with several "
        f"photos, {beside}{body['photos']} photos; model {body['model'][:12]}\n\n"
        f"{table_text(by_seed)}\n{table_text(by_photos)}"
    )


def _shares(faults: Sequence[dict[str, Any]]) -> dict[str, str]:
    """The shares of these faults, if there are any, within each of the first so many."""
    places = [fault["place"] for fault in faults]
    return {
        f"in first {n}": share(sum(0 < p <= n for p in places) / len(places)) if places else "-"
        for n in WITHIN
    }


if __name__ == "__main__":
    main()
