"""The answers as one web page to look at: each photo, its fluke, its likeliest whales."""

from __future__ import annotations

import base64
import io
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from flukeprint.crops import crop, evened
from flukeprint.files import writing
from flukeprint.outputs import likeliest, remarks, share, verdict
from flukeprint.pages import render
from flukeprint.photos import decode_grey, decode_rgb, read_photo
from flukeprint.progress import Progress, no_progress
from flukeprint.records import NEW_WHALE, Candidate, Failure, Fluke, Identification, Look, Table

WIDTH_PX, HEIGHT_PX, QUALITY = 220, 330, 80
CUT_PX, CUT_FROM_PX, CUT_MARGIN = 128, 512, 0.05
AHEAD = 64  # thumbnails made before their turn
# A name is escaped, so that it cannot hold the quotes of such a place.
_PLACE = re.compile(r'(?<= src=")thumbnail:\d+(?=")')
MISSING = "data:image/svg+xml;base64," + base64.b64encode(
    b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 220 147" font-family="sans-serif">'
    b'<rect width="220" height="147" fill="#e7ecee"/><text x="110" y="78" font-size="13" '
    b'fill="#5d6d76" text-anchor="middle">cannot be shown</text></svg>'
).decode("ascii")

Picture = tuple[Path, Fluke | None]
"""A photo to show small, or the fluke in it."""


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """A picture on the page: its name, whole and short, and which of the thumbnails it is."""

    name: str
    caption: str
    place: int


@dataclass(frozen=True, slots=True)
class Card:
    """One answer on the page; ``whales`` are its candidates, each with a photo if it has one.

    ``cut`` is the fluke as the model sees it, None where none was seen.
    """

    query: Thumbnail
    look: Look
    cut: Thumbnail | None
    remarks: list[str]
    whales: list[tuple[Candidate, Thumbnail | None]]
    new: float
    likeliest: str
    verdict: str
    to_review: int | None


def write_sheet(
    answers: Sequence[Identification],
    table: Table,
    path: Path,
    top: int = 5,
    *,
    progress: Progress = no_progress,
) -> None:
    """Write one self-contained page: failures first, then each photo beside its ``top`` whales.

    ``table`` is the gallery that the answers' candidates come from. The page holds small copies
    of the photos; they go to the file one by one, so that memory does not grow with the answers.

    Raises:
        FlukeprintError: the page cannot be written.
    """
    cards, pictures = _cards(answers, table, top)
    page = render(
        "sheet.html",
        cards=cards,
        failures=[answer for answer in answers if answer.failure is not None],
        source=str(table.source),
        new_whale=NEW_WHALE,
        share=share,
        per_cent=lambda part: f"{100 * part:.2f}%",
        verdicts=Counter(card.verdict for card in cards),
    )
    step = progress("sheet", len(pictures))
    text = _PLACE.split(page)
    with writing(path) as stream:
        stream.write(text[0].encode())
        for uri, after in zip(_thumbnails(pictures), text[1:], strict=True):
            stream.write(uri.encode())
            stream.write(after.encode())
            step(1)


def _cards(
    answers: Sequence[Identification], table: Table, top: int
) -> tuple[list[Card], list[Picture]]:
    """What the page shows, and its pictures in the order of their places."""
    path_of = {row.name: row.path for row in table.rows}
    alike = Counter(Path(answer.photo).name for answer in answers)
    pictures: list[Picture] = []

    def shown(name: str, path: Path, caption: str, fluke: Fluke | None = None) -> Thumbnail:
        pictures.append((path, fluke))
        return Thumbnail(name, caption, len(pictures) - 1)

    def beside(candidate: Candidate) -> Thumbnail | None:
        if not candidate.photos:
            return None
        path = path_of[candidate.photos[0]]
        return shown(candidate.photos[0], path, path.name)

    cards = []
    for answer in answers:
        if answer.look is not None:
            path, fluke = Path(answer.photo), answer.look.fluke
            query = shown(answer.photo, path, path.name if alike[path.name] == 1 else answer.photo)
            # In the page's order: the pictures go to the file by their turn, not by their number.
            cut = shown(answer.photo, path, "as the model sees it", fluke) if fluke.seen else None
            whales = [(candidate, beside(candidate)) for candidate in answer.candidates[:top]]
            cards.append(
                Card(
                    query,
                    answer.look,
                    cut,
                    remarks(answer.look),
                    whales,
                    answer.new or 0.0,
                    likeliest(answer)[0],
                    verdict(answer),
                    answer.to_review,
                )
            )
    return cards, pictures


def _thumbnails(pictures: Sequence[Picture]) -> Iterator[str]:
    """A data URI for each picture in order, each distinct one made once, in threads."""
    uses = Counter(pictures)
    made: dict[Picture, Future[str]] = {}
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        for place, picture in enumerate(pictures):
            for coming in pictures[place : place + AHEAD]:
                if coming not in made:
                    made[coming] = pool.submit(thumbnail, *coming)
            yield made[picture].result()
            uses[picture] -= 1
            if not uses[picture]:
                del made[picture]


def thumbnail(path: Path, fluke: Fluke | None = None) -> str:
    """A small copy of a photo, or its fluke as a model sees it, as the data URI of a JPEG.

    At most 220 pixels wide.
    """
    photo = read_photo(path)
    if isinstance(photo, Failure):  # it could be read a moment ago
        return MISSING
    pixels = (
        decode_grey(photo, least_px=CUT_FROM_PX) if fluke else decode_rgb(photo, least_px=WIDTH_PX)
    )
    if isinstance(pixels, Failure):
        return MISSING
    if fluke:
        pixels = evened(crop(pixels, fluke, CUT_PX, CUT_PX, margin=CUT_MARGIN))
    small = Image.fromarray(pixels)
    small.thumbnail((WIDTH_PX, HEIGHT_PX))
    stream = io.BytesIO()
    small.save(stream, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
