"""The demo: draw a catalogue of whales, then name new photos of them and of strangers."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from flukeprint.cache import Cache
from flukeprint.drawn.catalogue import write_catalogue
from flukeprint.errors import FlukeprintError
from flukeprint.files import make_folder, write_text
from flukeprint.identify import identify
from flukeprint.model import load_model
from flukeprint.network import Network
from flukeprint.outputs import likeliest
from flukeprint.progress import Progress, no_progress
from flukeprint.records import NEW_WHALE, Identification
from flukeprint.sheet import write_sheet
from flukeprint.tables import read_table

GALLERY, ANSWERS, SHEET, MARK = "gallery", "answers.csv", "sheet.html", "demo.json"
SCRATCH = ".drawing-"
EXAMPLES = 3  # of catalogued whales, and as many of strangers


@dataclass(frozen=True, slots=True)
class Drawing:
    """How much the demo draws; see :func:`flukeprint.drawn.catalogue.write_catalogue`."""

    whales: int = 40
    photos: int = 3
    strangers: int = 20
    queries: int = 1
    seed: int = 2019


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What the demo found.

    ``known_right`` of the ``known`` photos of catalogued whales have that whale as the likeliest
    answer, ``strangers_told`` of the ``strangers`` have a new whale. ``failures`` could not be read
    and count as wrong. ``examples`` are a few answers, each after its true whale.
    """

    known: int
    known_right: int
    strangers: int
    strangers_told: int
    failures: int
    examples: tuple[tuple[str, Identification], ...]
    sheet: Path


def run_demo(
    out: Path,
    model_path: Path | None,
    *,
    progress: Progress = no_progress,
    drawing: Drawing | None = None,
) -> DemoResult:
    """Draw a catalogue into ``out``, identify its queries and write ``out/sheet.html``.

    A demo that lies there complete is used again, a damaged or different one is drawn anew.

    Raises:
        FlukeprintError: ``out`` holds anything that the demo did not make (nothing is touched
            then), it cannot be written to, or there is no such model.
    """
    model = load_model(model_path)
    draw(out, drawing or Drawing(), progress)
    table = read_table(out / GALLERY)
    asked = read_table(out / ANSWERS).rows
    answers, _ = identify(
        [row.path for row in asked],
        table,
        Network(model),
        cache=Cache(None, model.id),
        progress=progress,
    )
    write_sheet(answers, table, out / SHEET, progress=progress)
    return count([row.individual for row in asked], answers, out / SHEET)


def count(truth: Sequence[str], answers: Sequence[Identification], sheet: Path) -> DemoResult:
    """Count right answers; ``truth`` names the whale of each answer's photo, or ``new_whale``."""
    pairs = list(zip(truth, answers, strict=True))
    read = [(true, answer) for true, answer in pairs if answer.failure is None]
    right = [t for t, answer in read if not answer.no_fluke and likeliest(answer)[0] == t]
    strange = [true for true in truth if true == NEW_WHALE]
    known_pairs = [pair for pair in read if pair[0] != NEW_WHALE]
    new_pairs = [pair for pair in read if pair[0] == NEW_WHALE]
    return DemoResult(
        known=len(truth) - len(strange),
        known_right=len(right) - right.count(NEW_WHALE),
        strangers=len(strange),
        strangers_told=right.count(NEW_WHALE),
        failures=len(pairs) - len(read),
        examples=(*known_pairs[:EXAMPLES], *new_pairs[:EXAMPLES]),
        sheet=sheet,
    )


def draw(out: Path, drawing: Drawing, progress: Progress = no_progress) -> None:
    """Leave ``out`` with exactly the photos and answers of ``drawing``. See :func:`run_demo`."""
    drawn, own = _mark(out)
    there = []
    for name in _files(out):
        if own and name in (MARK, SHEET):
            continue
        if name not in own or own[name] != _sha256(out / name):
            raise FlukeprintError(
                f"{out}: holds {name!r}, which is not the demo's or was changed; "
                "choose another folder"
            )
        there.append(name)
    if drawn == asdict(drawing) and own.keys() == set(there):
        return
    make_folder(out)
    try:
        with tempfile.TemporaryDirectory(dir=out, prefix=SCRATCH) as scratch:
            _draw_anew(out, Path(scratch), drawing, there, progress)
    except OSError as error:
        raise FlukeprintError(f"{out}: cannot be written: {error.strerror or error}") from error


def _draw_anew(
    out: Path, scratch: Path, drawing: Drawing, old: list[str], progress: Progress
) -> None:
    size = drawing.whales * (drawing.photos + drawing.queries) + drawing.strangers
    write_catalogue(scratch, **asdict(drawing), progress=progress("drawing", size))
    hashes = {name: _sha256(scratch / name) for name in _files(scratch)}
    for name in old:
        (out / name).unlink()
        for folder in (out / name).parents[: name.count("/")]:
            if not any(folder.iterdir()):
                folder.rmdir()
    # The mark goes first: what an interruption leaves is then known as the demo's own.
    write_text(out / MARK, json.dumps({"drawing": asdict(drawing), "files": hashes}, indent=1))
    for name in hashes:
        os.replace(scratch / name, make_folder((out / name).parent) / (out / name).name)


def _mark(out: Path) -> tuple[dict[str, int], dict[str, str]]:
    """What a finished demo wrote of itself: its drawing, and the SHA-256 of each of its files."""
    try:
        raw = json.loads((out / MARK).read_text(encoding="utf-8"))
        return dict(raw["drawing"]), dict(raw["files"])
    except (OSError, ValueError, TypeError, KeyError):
        return {}, {}


def _files(out: Path) -> Iterator[str]:
    """Everything in a folder but other folders and what an interrupted drawing left, by name."""
    for folder, inner, files in os.walk(out):
        linked = [name for name in inner if os.path.islink(os.path.join(folder, name))]
        for name in sorted(files + linked):
            yield Path(folder, name).relative_to(out).as_posix()
        inner[:] = sorted(name for name in inner if not name.startswith(SCRATCH))


def _sha256(path: Path) -> str | None:
    """The hash of a regular file; None for anything else."""
    if path.is_symlink() or not path.is_file():
        return None
    return hashlib.sha256(path.read_bytes()).hexdigest()
