"""What a catalogue costs: ratios of one run, beside the least that the same answer could cost.

python benchmarks/catalogue.py DATA --out FOLDER [--timed N] [--photos 1000000] [--made FILE]

Imports DATA's labelled photos beside hashing and decoding the same ones; measures bytes for each
photo; makes a catalogue of a million photos and asks it beside bare SQLite.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

from ending import plain_errors
from flukeprint.catalogue import Catalogue, Listed, bring_in, check, from_table
from flukeprint.catalogue.log import COLUMNS, EFFECT, FIRST_SEAL, seal_of
from flukeprint.catalogue.schema import NAMED, NAMING
from flukeprint.files import write_text
from flukeprint.photos import LEAST_PX, decode_grey, read_photo
from flukeprint.records import Failure
from flukeprint.tables import read_table

ROUNDS = 9
ASKED = 200
BATCH = 10_000  # photos for each import of the made catalogue
LARGE, LARGE_PHOTOS = 10, 3_000  # individuals with thousands of photos
CONFIRMED = 20_000  # single verdicts behind the imports
Row = tuple[object, ...]


def main() -> None:
    """Measure, print and write ``catalogue.json``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--timed", type=int, help="only so many photos of DATA to time")
    parser.add_argument("--photos", type=int, default=1_000_000, help="photos to make up")
    parser.add_argument("--made", type=Path, help="keep the made catalogue here, or take it from")
    parser.add_argument("--check", action="store_true", help="check the made catalogue, too")
    options = parser.parse_args()
    with plain_errors(parser):
        found: dict[str, float] = {}
        with tempfile.TemporaryDirectory(prefix="flukeprint-") as name:
            folder = Path(name)
            found |= importing(options.data, folder, options.timed)
            big = options.made or folder / "big"
            if not big.exists():
                make(big, options.photos)
            found |= {"made photos": options.photos, "made, MB": round(big.stat().st_size / 1e6)}
            if options.check:
                assert check(big).problems == ()
            found |= asking(big, options.photos)
        width = max(len(key) for key in found)
        for key, value in found.items():
            sys.stdout.write(f"{key:{width}}  {value:,.3f}\n")
        options.out.mkdir(parents=True, exist_ok=True)
        text = json.dumps(found, indent=1) + "\n"
        write_text(options.out / "catalogue.json", text)


def importing(data: Path, folder: Path, timed: int | None) -> dict[str, float]:
    """The import beside hashing and decoding, in turn; and the size of all of DATA."""
    listed = from_table(read_table(data))
    some = listed[:timed]
    plain(some)  # the disk's cache is warm for both
    pairs = [
        (seconds(plain, some), seconds(brought, folder / f"some{number}", data, some))
        for number in range(ROUNDS)
    ]
    photos = brought(folder / "all", data, listed)
    ratio = statistics.median(ours / bare for bare, ours in pairs)
    return {
        "photos timed": len(some),
        "import / hash and decode": round(ratio, 3),
        "import, photos a second": round(len(some) / min(ours for _, ours in pairs)),
        "photos in all": photos,
        "bytes a photo": round((folder / "all").stat().st_size / photos),
    }


def plain(listed: Sequence[Listed]) -> None:
    """Hash and decode with four threads, as the import has to."""

    def one(path: Path) -> None:
        photo = read_photo(path)
        if not isinstance(photo, Failure):
            decode_grey(photo, least_px=LEAST_PX)

    with ThreadPoolExecutor(max_workers=4) as pool:
        for _ in pool.map(one, dict.fromkeys(found.path for found in listed)):
            pass


def brought(path: Path, root: Path, listed: Sequence[Listed]) -> int:
    """Import into a new catalogue; how many photos it has."""
    with Catalogue.create(path, root=root) as book:
        bring_in(book, listed, who="benchmark")
        return book.counts().photos


def seconds(work: Callable[..., object], *given: object) -> float:
    """Wall time of one call."""
    started = time.perf_counter()
    work(*given)
    return time.perf_counter() - started


def whales_among(photos: int) -> int:
    """How many individuals a made catalogue has."""
    return max(photos // 4, LARGE + 1)


def whose(photo: int, whales: int) -> int:
    """A photo's individual: few have thousands of photos, the others about four."""
    if photo <= min(LARGE * LARGE_PHOTOS, whales):
        return (photo - 1) // LARGE_PHOTOS + 1
    return LARGE + 1 + photo % (whales - LARGE)


def make(path: Path, photos: int) -> None:
    """A catalogue as the imports and verdicts would leave it, seals included, written in bulk."""
    part = path.with_name(f"{path.name}.part")  # a run that is cut leaves nothing that looks whole
    part.unlink(missing_ok=True)
    Catalogue.create(part).close()
    with closing(sqlite3.connect(part, isolation_level=None)) as link:
        link.execute("PRAGMA synchronous = OFF")
        link.execute("PRAGMA journal_mode = OFF")
        link.execute("PRAGMA cache_size = -200000")
        indices = link.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        ).fetchall()
        link.execute("BEGIN")
        for name, _ in indices:
            link.execute(f"DROP INDEX {name}")
        for event in imports(photos):
            write(link, *event)
        for _, sql in indices:  # sealing many small events without them would read all of the file
            link.execute(sql)
        for event in verdicts(photos):
            write(link, *event)
        link.execute("COMMIT")
        link.execute("PRAGMA journal_mode = DELETE")
    part.rename(path)


Event = tuple[Row, dict[str, list[Row]]]


def imports(photos: int) -> Iterator[Event]:
    """Event by event its columns without the seal, and its rows in other tables."""
    whales, born = whales_among(photos), set[int]()
    for number, first in enumerate(range(1, photos + 1, BATCH), start=1):
        parts: dict[str, list[Row]] = {"effect": [], "individual": [], "photo": [], "file": []}
        changes: list[tuple[str, int, str, int | str, int | str]] = []
        for photo in range(first, min(first + BATCH, photos + 1)):
            whale = whose(photo, whales)
            if whale not in born:
                born.add(whale)
                parts["individual"].append((number, whale))
                changes += [("i", whale, "alive", "", 1), ("i", whale, "name", "", f"HW{whale:06}")]
            sha = hashlib.sha256(str(photo).encode()).digest()
            parts["photo"].append((number, photo, sha, 90_000, 1050, 600, None, None, None, None))
            path = f"20{photo % 20:02}/day-{photo % 300}/IMG_{photo:07}.JPG"
            parts["file"].append((number, photo, path, photo, 1_500_000_000_000_000_000 + photo))
            changes += [
                ("p", photo, "label", whale, 1),
                ("p", photo, "individual", "", whale),
                ("p", photo, "state", "", "imported"),
            ]
        for key in changes:
            parts["effect"].append((number, *key[:4], None, 0, key[4], number))
        parts["individual"].sort()
        details = json.dumps({"photos": len(parts["photo"]), "files": len(parts["file"])})
        yield (number, "2026-01-01T00:00:00.000Z", "Ann", "", "import", details, None, None), parts


def verdicts(photos: int) -> Iterator[Event]:
    """The single verdicts behind the imports, likewise."""
    whales, lottery = whales_among(photos), random.Random(3)
    chosen = sorted(lottery.sample(range(1, photos + 1), min(CONFIRMED, photos // 10)))
    for number, photo in enumerate(chosen, start=len(range(1, photos + 1, BATCH)) + 1):
        whale, before = whose(photo, whales), (photo - 1) // BATCH + 1
        values = ("imported", before, "confirmed", number)
        changed: Row = (number, "p", photo, "state", "", *values)
        details = json.dumps({"photo": photo, "individual": whale})
        yield (
            (number, "2026-01-02T00:00:00.000Z", "Bo", "the notch", "same", details, None, None),
            {"effect": [changed], "individual": [], "photo": [], "file": []},
        )


def write(link: sqlite3.Connection, event: Row, parts: dict[str, list[Row]]) -> None:
    """Write an event, sealed, with its rows and the cells that it leaves."""
    link.executemany(
        f"INSERT INTO effect ({EFFECT}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", parts["effect"]
    )
    link.executemany("INSERT INTO individual (event, id) VALUES (?, ?)", parts["individual"])
    link.executemany(
        "INSERT INTO photo (event, id, sha256, size_bytes, width_px, height_px, taken, latitude,"
        " longitude, camera) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        parts["photo"],
    )
    link.executemany(
        "INSERT INTO file (event, id, path, photo, mtime_ns) VALUES (?, ?, ?, ?, ?)", parts["file"]
    )
    link.executemany(
        "INSERT OR REPLACE INTO cell VALUES (?, ?, ?, ?, ?, ?)",
        (row[1:5] + row[7:9] for row in parts["effect"]),
    )
    last = link.execute("SELECT seal FROM event ORDER BY id DESC LIMIT 1").fetchone()
    seal = seal_of(link, last[0] if last else FIRST_SEAL, event)
    marks = ", ".join("?" * len(COLUMNS.split(",")))
    link.execute(f"INSERT INTO event ({COLUMNS}) VALUES ({marks})", (*event, seal))


OF_INDIVIDUAL = (
    f"SELECT {COLUMNS} FROM event WHERE id IN (SELECT event FROM effect WHERE kind = 'i'"
    " AND subject = ?1 UNION SELECT event FROM effect WHERE field = 'individual' AND after = ?1"
    " UNION SELECT event FROM effect WHERE field = 'individual' AND before = ?1"
    f" UNION SELECT id FROM event WHERE {NAMED} = ?1 AND {NAMING}) ORDER BY id"
)
OF_PHOTO = (
    f"SELECT {COLUMNS} FROM event WHERE id IN (SELECT event FROM effect WHERE kind = 'p'"
    " AND subject = ?1 UNION SELECT event FROM photo WHERE id = ?1"
    " UNION SELECT event FROM file WHERE photo = ?1) ORDER BY id"
)


def asking(path: Path, photos: int) -> dict[str, float]:
    """Histories beside the bare query for the same events, in turn, medians."""
    lottery = random.Random(5)
    whales = sorted({whose(lottery.randint(1, photos), whales_among(photos)) for _ in range(ASKED)})
    some = [lottery.randint(1, photos) for _ in range(ASKED)]
    opened = [seconds(lambda: Catalogue.open(path).close()) for _ in range(5)]
    read_only = [seconds(lambda: Catalogue.open(path, read_only=True).close()) for _ in range(5)]
    found = {"open, s": max(opened), "open read-only, s": max(read_only)}
    for what, query, numbers in (
        ("individual", OF_INDIVIDUAL, whales),
        ("photo", OF_PHOTO, some),
        ("large individual", OF_INDIVIDUAL, list(range(1, LARGE + 1))),
    ):
        cold: tuple[list[float], list[float]] = ([], [])
        warm: tuple[list[float], list[float]] = ([], [])
        with Catalogue.open(path) as book, closing(sqlite3.connect(path)) as link:
            for number in numbers:
                answers = _ask(book, what, number)
                assert [one[0] for one in link.execute(query, (number,))] == answers
                warm[0].append(seconds(_ask, book, what, number))
                warm[1].append(seconds(_fetch, link, query, number))
        for number in numbers:
            cold[0].append(seconds(_cold, path, what, number))
            cold[1].append(seconds(_bare, path, query, number))
        for how, (ours, bare) in (("warm", warm), ("cold", cold)):
            one, other = statistics.median(ours), statistics.median(bare)
            found[f"history, {what}, {how}, ms"] = 1_000 * one
            found[f"history, {what}, {how}, / bare"] = one / other
    return {key: float(f"{value:.4g}") for key, value in found.items()}


def _ask(book: Catalogue, what: str, number: int) -> list[int]:
    found = book.photo_history(number) if what == "photo" else book.individual_history(number)
    return [entry.event.id for entry in found]


def _cold(path: Path, what: str, number: int) -> None:
    with Catalogue.open(path) as book:
        _ask(book, what, number)


def _bare(path: Path, query: str, number: int) -> None:
    with closing(sqlite3.connect(path)) as link:
        _fetch(link, query, number)


def _fetch(link: sqlite3.Connection, query: str, number: int) -> list[Row]:
    return link.execute(query, (number,)).fetchall()


if __name__ == "__main__":
    main()
