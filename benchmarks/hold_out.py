"""Make a labelled collection without some of its whales, to train a model that never sees them.

    python benchmarks/hold_out.py DATA --out FOLDER [--share 0.25] [--seed 0]

DATA and FOLDER are in Kaggle's layout; FOLDER gets a train.csv of its own and links to DATA's
photos, boxes and pictures without flukes. About a share of the whales is held out, all photos of
each, and every photo identical with one of theirs. ``benchmarks/audit.py --exclude-trained`` then
audits the whales held out.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
from collections import defaultdict
from pathlib import Path

from ending import plain_errors
from flukeprint.files import check_outside, make_folder, write_text
from flukeprint.photos import PhotoFile, read_photo
from flukeprint.records import NEW_WHALE, LabelledPhoto
from flukeprint.tables import read_table

LINKED = ("train", "train.zip", "boxes.csv", "not_flukes", "sizes.csv")


def kept_rows(rows: tuple[LabelledPhoto, ...], share: float, seed: int) -> list[LabelledPhoto]:
    """The rows of whales that are not held out, but for photos that are those whales', too."""
    whales = {row.individual for row in rows} - {NEW_WHALE}
    held = {whale for whale in whales if _lot(seed, whale) < share}
    labels = defaultdict(set)
    hashes = {}
    for row in rows:
        photo = read_photo(row.path)
        if isinstance(photo, PhotoFile):
            hashes[row.name] = photo.sha256
            labels[photo.sha256].add(row.individual)
    return [row for row in rows if row.name in hashes and not labels[hashes[row.name]] & held]


def _lot(seed: int, whale: str) -> float:
    """From 0 to 1, the same on every machine."""
    digest = hashlib.sha256(f"{seed}\0{whale}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.25)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with plain_errors(parser):
        check_outside(options.out, options.data)
        table = read_table(options.data)
        kept = kept_rows(table.rows, options.share, options.seed)
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(["Image", "Id"])
        writer.writerows((row.name, row.individual) for row in kept)
        write_text(make_folder(options.out) / "train.csv", text.getvalue())
        for name in LINKED:
            link, source = options.out / name, (options.data / name).resolve()
            if source.exists() and not link.exists():
                link.symlink_to(source)
        left = {row.individual for row in kept} - {NEW_WHALE}
        print(
            f"{len(kept):,} of {len(table.rows):,} photos, of {len(left):,} whales: {options.out}"
        )


if __name__ == "__main__":
    main()
