"""How much `flukeprint identify` adds to the work that cannot be avoided, and what it remembers.

    python benchmarks/identify.py GALLERY QUERIES [--queries 1500] [--out FILE]

Prints ratios of times taken in this one run, alternating, the fastest of each kind: identify from
nothing against decoding the same photos and running the bare networks on ready batches; identify
with the gallery remembered against from nothing; and the peak memory of the command.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ending import plain_errors
from flukeprint.files import write_text
from flukeprint.look import BATCH
from flukeprint.model import load_model
from flukeprint.network import Network
from flukeprint.photos import decode_grey, find_photos, read_photo
from flukeprint.records import WHOLE, Failure, Fluke
from flukeprint.tables import read_table

ROUNDS = 2


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("gallery", type=Path)
    parser.add_argument("queries", type=Path, help="a folder of photos")
    parser.add_argument("--queries", dest="count", type=int, default=1_500)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with plain_errors(parser):
        photos = find_photos([options.queries])
        asked, others = photos[: options.count], photos[options.count : 2 * options.count]
        gallery = list({row.path for row in read_table(options.gallery).rows})
        floors, colds, warms = [], [], []
        for _ in range(ROUNDS):
            floors.append(unavoidable(gallery + asked))
            with tempfile.TemporaryDirectory() as cache:
                colds.append(identify(options.gallery, asked, Path(cache)))
                warms.append(identify(options.gallery, others, Path(cache)))
        cold, warm = min(colds), min(warms)
        floor = min(decode + session for decode, session in floors)
        result = {
            "gallery photos": len(gallery),
            "queries": len(asked),
            "cores": len(os.sched_getaffinity(0)),
            "identify / (decode + bare networks)": round(cold / floor, 3),
            "decode's share of the floor": round(min(d for d, _ in floors) / floor, 3),
            "other queries, gallery remembered / first run": round(warm / cold, 3),
            "peak memory of the command, MiB": round(
                resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
            ),
        }
        text = json.dumps(result, indent=1)
        sys.stdout.write(text + "\n")
        if options.out:
            write_text(options.out, text + "\n")


def unavoidable(paths: list[Path]) -> tuple[float, float]:
    """Seconds to decode all photos in threads, and to run the bare networks on as many crops."""
    started = time.perf_counter()
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        decoded = sum(pool.map(_decodes, paths))
    decode = time.perf_counter() - started
    network = Network(load_model())
    photo = np.random.default_rng(0).integers(0, 255, (300, 500), dtype=np.uint8)
    squashed = [network.squash(photo)] * BATCH
    crops = [network.cut(photo, Fluke(WHOLE))] * BATCH
    started = time.perf_counter()
    for _ in range(-(-decoded // BATCH)):
        network.locate(squashed)
        network.embed(crops)
    return decode, time.perf_counter() - started


def _decodes(path: Path) -> bool:
    photo = read_photo(path)
    return not isinstance(photo, Failure) and not isinstance(decode_grey(photo), Failure)


def identify(gallery: Path, asked: list[Path], cache: Path) -> float:
    """Seconds that the command takes, start to end."""
    with tempfile.TemporaryDirectory() as folder:
        for photo in asked:
            os.symlink(photo.resolve(), Path(folder) / photo.name)
        command = [
            sys.executable, "-m", "flukeprint", "identify", folder,
            "--gallery", str(gallery), "--cache", str(cache), "--kaggle", f"{folder}/out.csv",
        ]  # fmt: skip
        started = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        return time.perf_counter() - started


if __name__ == "__main__":
    main()
