"""Sheets of photos to look at, as PNG bytes. Names are drawn as plain text, on one line each."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from flukeprint.photos import decode_rgb, read_photo
from flukeprint.plotting import INK, PAPER, QUIET, RULE
from flukeprint.records import Failure
from flukeprint.wording import one_line

WASH = "#eef2f3"
THUMB_PX, GAP_PX = 150, 8
COLUMNS, PAIR_COLUMNS = 6, 3

Side = tuple[Path, str, str]
"""A photo of a pair: its path, its name and its labels."""


def sample_sheet(paths: Sequence[Path], most: int = 36) -> bytes:
    """Photos taken at even steps through ``paths``, whole, in a grid of six columns."""
    steps = np.linspace(0, len(paths) - 1, min(most, len(paths))).round().astype(int)
    pictures = [_picture(paths[step]) for step in steps]
    wide, high = _cell(pictures)
    columns, rows = _grid(len(pictures), COLUMNS)
    size = (columns * (wide + GAP_PX) - GAP_PX, rows * (high + GAP_PX) - GAP_PX)
    sheet = Image.new("RGB", size, PAPER)
    for i, picture in enumerate(pictures):
        at = (i % COLUMNS * (wide + GAP_PX), i // COLUMNS * (high + GAP_PX))
        sheet.paste(ImageOps.pad(picture, (wide, high), color=WASH), at)
    return _encoded(sheet)


def twin_pictures(pairs: Sequence[tuple[Side, Side]]) -> tuple[bytes, list[bytes]]:
    """A contact sheet of captioned pairs, three in a row, and a bare picture of each pair."""
    photos = [_picture(path) for pair in pairs for path, _, _ in pair]
    wide, high = _cell(photos)
    bare = []
    for left, right in zip(photos[::2], photos[1::2], strict=True):
        both = Image.new("RGB", (2 * wide + GAP_PX, high), PAPER)
        both.paste(ImageOps.pad(left, (wide, high), color=WASH), (0, 0))
        both.paste(ImageOps.pad(right, (wide, high), color=WASH), (wide + GAP_PX, 0))
        bare.append(both)
    return _encoded(_contact_sheet(pairs, bare, (wide, high))), [_encoded(both) for both in bare]


def _contact_sheet(
    pairs: Sequence[tuple[Side, Side]], bare: Sequence[Image.Image], cell: tuple[int, int]
) -> Image.Image:
    font, (wide, high) = _font(12), cell
    across, down = 2 * wide + 5 * GAP_PX, high + 52
    columns, rows = _grid(len(pairs), PAIR_COLUMNS)
    sheet = Image.new("RGB", (columns * across - 4 * GAP_PX, rows * down), PAPER)
    draw = ImageDraw.Draw(sheet)
    if not pairs:
        draw.text((GAP_PX, high // 2), "no twins with different labels", fill=QUIET, font=font)
    for i, (pair, both) in enumerate(zip(pairs, bare, strict=True)):
        x, y = i % PAIR_COLUMNS * across, i // PAIR_COLUMNS * down
        sheet.paste(both, (x, y))
        for side, (_, name, label) in enumerate(pair):
            left = x + side * (wide + GAP_PX)
            draw.text((left, y + high + 4), one_line(label, 20), fill=INK, font=font)
            draw.text((left, y + high + 21), one_line(name, 20), fill=QUIET, font=font)
    return sheet


def _grid(count: int, columns: int) -> tuple[int, int]:
    return min(columns, max(1, count)), max(1, -(-count // columns))


def _cell(pictures: Sequence[Image.Image]) -> tuple[int, int]:
    """Width and height in pixels that suit most of the pictures."""
    aspects = [picture.width / picture.height for picture in pictures] or [1.0]
    return THUMB_PX, round(THUMB_PX / min(max(float(np.median(aspects)), 1.0), 2.0))


def _picture(path: Path) -> Image.Image:
    photo = read_photo(path)
    pixels = photo if isinstance(photo, Failure) else decode_rgb(photo, least_px=THUMB_PX)
    if isinstance(pixels, Failure):  # it could be read a moment ago; leave its place empty
        return Image.new("RGB", (THUMB_PX, THUMB_PX), RULE)
    picture = Image.fromarray(pixels)
    picture.thumbnail((2 * THUMB_PX, 2 * THUMB_PX))  # many are held at once
    return picture


def _font(size_px: int) -> ImageFont.FreeTypeFont:
    """matplotlib's own DejaVu Sans, which knows more alphabets than Pillow's font."""
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    return ImageFont.truetype(str(path), size_px)


def _encoded(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG", optimize=True)
    return stream.getvalue()
