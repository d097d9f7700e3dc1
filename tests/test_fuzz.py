"""Damaged files: thousands of mutated JPEGs and CSVs, always the same ones.

A tenth of them in a normal run; all with FLUKEPRINT_FUZZ=full.
"""

from __future__ import annotations

import io
import os
import random
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flukeprint.errors import FlukeprintError
from flukeprint.photos import decode_grey, decode_rgb, read_photo, upright_size
from flukeprint.records import Failure, Table
from flukeprint.tables import read_table
from tests.tiny import picture

FULL = os.environ.get("FLUKEPRINT_FUZZ") == "full"
JPEGS, CSVS, PARTS = 10_000 if FULL else 1_000, 2_000 if FULL else 200, 10
MOST_S = 2.0  # of a core's time for one photo: the requirement, not a guess


def whole_jpegs() -> list[bytes]:
    """Grey, colour, progressive, with EXIF, several pictures in one, CMYK."""
    grey = Image.fromarray(picture(1))
    tint = Image.merge("RGB", [Image.fromarray(picture(seed)) for seed in (1, 2, 3)])
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "camera"
    kinds: list[tuple[Image.Image, dict[str, object]]] = [
        (grey, {}),
        (tint, {}),
        (tint, {"progressive": True}),
        (tint, {"exif": exif, "subsampling": 0}),
        (grey, {"optimize": True, "restart_marker_blocks": 2}),
        (tint, {"save_all": True, "append_images": [grey]}),
        (tint.convert("CMYK"), {}),
    ]
    made = []
    for image, options in kinds:
        stream = io.BytesIO()
        image.save(stream, "MPO" if "save_all" in options else "JPEG", **options)
        made.append(stream.getvalue())
    return made


def whole_csvs() -> list[bytes]:
    return [
        b"path,identity\na.jpg,w_1\nb.jpg,w_2\n",
        b"\xef\xbb\xbfpath,identity,date,encounter\r\na.jpg,w_1,2020-01-01,e1\r\n",
        'identity,path\n"w, 1","a.jpg"\n\'=w,b.jpg\nGröße 鯨,./a.jpg\n'.encode(),
    ]


def mutated(chance: random.Random, whole: bytes, head: int) -> bytes:
    """A few of: bytes flipped, a cut, an insertion, an edit in the header, a repeated segment."""
    data = bytearray(whole)
    for _ in range(chance.randint(1, 4)):
        at, length = chance.randrange(len(data) + 1), chance.randint(1, 64)
        match chance.randrange(6):
            case 0:
                for _ in range(chance.randint(1, 16)):
                    if data:
                        data[chance.randrange(len(data))] = chance.randrange(256)
            case 1:
                del data[at:]
            case 2:
                del data[at : at + length]
            case 3:
                data[at:at] = chance.randbytes(length)
            case 4:
                if data:
                    data[chance.randrange(min(head, len(data)))] = chance.choice([0, 1, 127, 255])
            case _:
                data[at:at] = data[at : at + length] * chance.randint(1, 200)
    return bytes(data)


@pytest.mark.parametrize("part", range(PARTS))
def test_no_mutated_jpeg_raises_or_stalls(tmp_path: Path, part: int) -> None:
    chance, sources, path = random.Random(f"jpeg {part}"), whole_jpegs(), tmp_path / "a.jpg"
    decoded = 0
    for number in range(JPEGS // PARTS):
        path.write_bytes(mutated(chance, chance.choice(sources), 700))
        begun = time.thread_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd EXIF
            photo = read_photo(path)
            if isinstance(photo, Failure):
                continue
            whole = decode_grey(photo)
            for pixels in (whole, decode_rgb(photo), decode_grey(photo, least_px=16)):
                if isinstance(pixels, Failure):
                    assert pixels.reason and "\n" not in pixels.reason
                else:
                    assert pixels.dtype == np.uint8 and pixels.size
                    size = upright_size(photo, pixels)
                    assert isinstance(whole, Failure) or size == whole.shape[::-1]
                    decoded += 1
        assert time.thread_time() - begun < MOST_S, f"photo {number} of part {part}"
    assert decoded  # else nothing was tested


@pytest.mark.parametrize("part", range(PARTS))
def test_a_mutated_csv_is_a_table_or_one_clear_error(tmp_path: Path, part: int) -> None:
    chance, sources, listing = random.Random(f"csv {part}"), whole_csvs(), tmp_path / "list.csv"
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / name).touch()
    for _ in range(CSVS // PARTS):
        listing.write_bytes(mutated(chance, chance.choice(sources), 40))
        try:
            table = read_table(listing)
        except FlukeprintError as error:
            assert str(listing) in str(error)
        else:
            assert isinstance(table, Table) and table.rows
