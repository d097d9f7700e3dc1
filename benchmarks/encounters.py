"""What judging the photos of an encounter together is worth.

    python benchmarks/encounters.py DATA --out FOLDER [--model MODEL]

The collection has no dates, so encounters are made: all photos of one whale among the queries of
the model's own split, where those are two or more and no twins. They are asked one by one, then
together, by the same calibration. Writes FOLDER/encounters.json and encounters.md: mean probability
of the truth (the whale, or "new" for whales that the gallery lacks), share of first answers that
are right, mean logarithmic loss, with 95 % bootstrap intervals over encounters.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ending import plain_errors
from flukeprint.cache import Cache, default_folder
from flukeprint.collection import read_collection
from flukeprint.console_progress import progress_bar
from flukeprint.decide import Beliefs, Calibration, believe, believe_together
from flukeprint.evaluate import EmbeddedTable, ask, gallery_of, refuse_trained
from flukeprint.files import check_outside, make_folder, write_text
from flukeprint.identify import likeness_of
from flukeprint.metrics import bootstrap, weighted_mean
from flukeprint.model import MEASURED, Manifest, load_model
from flukeprint.network import Network
from flukeprint.outputs import interval_text
from flukeprint.rank import GalleryIndex
from flukeprint.records import NEW_WHALE, Interval, Split, Table
from flukeprint.scoring import embed_collection, own_split
from flukeprint.splits import check_leaks, read_split
from markdown_table import table_text

Figures = NDArray[np.float64]
"""For each encounter: probability of the truth, first answer right, logarithmic loss: (E, 3)."""
COLUMNS = ("probability of the truth", "first answer right", "logarithmic loss")


def made_encounters(split: Split, table: Table) -> dict[str, list[str]]:
    """Queries of one whale, two or more, by whale; a split asks about one of several twins."""
    photos = defaultdict(list)
    whale = {row.name: row.individual for row in table.rows}
    for name in split.queries:
        if whale[name] != NEW_WHALE:
            photos[whale[name]].append(name)
    return {name: found for name, found in sorted(photos.items()) if len(found) > 1}


def figures(beliefs: Beliefs, index: GalleryIndex, whale: str) -> NDArray[np.float64]:
    """The three figures, mean over the queries of one encounter: (3,)."""
    shares = np.column_stack([beliefs.whales, beliefs.new])
    column = {name: place for place, name in enumerate(index.individuals)}
    true = shares[:, column.get(whale, len(column))]
    first = shares.argmax(axis=1) == column.get(whale, len(column))
    return np.array([true.mean(), first.mean(), -np.log(np.maximum(true, 1e-12)).mean()])


def measure(
    encounters: dict[str, list[str]],
    embedded: EmbeddedTable,
    index: GalleryIndex,
    manifest: Manifest,
) -> dict[str, Figures]:
    """The figures of every encounter, by how its photos were judged."""
    calibration = Calibration.from_dict(manifest.calibration)
    found: dict[str, list[NDArray[np.float64]]] = defaultdict(list)
    for whale, names in encounters.items():
        vectors = embedded.embeddings.vectors[[embedded.row_of[name] for name in names]]
        likeness = likeness_of(vectors, index, manifest)
        for name, judge in (("one by one", believe), ("together", believe_together)):
            found[name].append(figures(judge(likeness, calibration), index, whale))
    return {name: np.stack(rows) for name, rows in found.items()}


def rows_of(measured: dict[str, Figures]) -> list[dict[str, str]]:
    """A row for each way of judging, the gain over one by one beside each figure."""
    alone = measured["one by one"]
    rows = []
    for name, table in measured.items():
        row = {"judged": name}
        for place, column in enumerate(COLUMNS):
            row[column] = interval_text(_interval(table[:, place]))
            if table is not alone:
                row[f"{column}, change"] = interval_text(
                    _interval(table[:, place] - alone[:, place]), "+"
                )
        rows.append(row)
    return rows


def _interval(values: NDArray[np.float64]) -> Interval:
    clusters = [str(place) for place in range(len(values))]
    return bootstrap(lambda often: {"mean": weighted_mean(values, often)}, clusters)["mean"]


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--model", type=Path, default=Path(MEASURED))
    parser.add_argument(
        "--split", type=Path, help="a split's file instead of the model's own split"
    )
    options = parser.parse_args()
    with plain_errors(parser):
        check_outside(options.out, options.data)
        model = load_model(options.model)
        with progress_bar() as progress:
            collection = read_collection(options.data, progress)
            split = read_split(options.split) if options.split else own_split(model, collection)
            network, cache = Network(model), Cache(default_folder(), model.id)
            embedded = embed_collection(collection, network, cache, progress)
        check_leaks(split, collection.table, collection.twin_group)
        refuse_trained(model, embedded, ask(split, collection.table, set(collection.twin_group)))
        index = gallery_of(split, embedded, model.manifest)
        encounters = made_encounters(split, collection.table)
        known = sum(whale in index.individuals for whale in encounters)
        summary = (
            f"{len(encounters)} encounters of {sum(map(len, encounters.values()))} photos: "
            f"{known} of known whales, {len(encounters) - known} of new ones"
        )
        rows = rows_of(measure(encounters, embedded, index, model.manifest))
        text = f"{summary}\n\n{table_text(rows)}"
        make_folder(options.out)
        write_text(options.out / "encounters.md", text)
        write_text(
            options.out / "encounters.json",
            json.dumps({"summary": summary, "rows": rows}, indent=1),
        )
        print(text)


if __name__ == "__main__":
    main()
