"""Every kind of picture decodes to the pixels one expects; every bad file says why."""

from __future__ import annotations

import io
import os
import re
import struct
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from flukeprint import photos
from flukeprint.errors import FlukeprintError
from flukeprint.photos import (
    PhotoFile,
    decode,
    decode_grey,
    decode_rgb,
    find_photos,
    left_out,
    read_photo,
    upright_size,
)
from flukeprint.records import Failure
from tests.tiny import Pixels, in_memory, picture, tinted

EXIF_ORIENTATION = 0x0112


def encoded(image: Image.Image, kind: str, **options: object) -> PhotoFile:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return in_memory(stream.getvalue())


def grey(photo: PhotoFile) -> Pixels:
    pixels = decode_grey(photo)
    assert not isinstance(pixels, Failure), pixels
    return pixels


def colour(photo: PhotoFile) -> Pixels:
    pixels = decode_rgb(photo)
    assert not isinstance(pixels, Failure), pixels
    return pixels


def why_not(photo: PhotoFile) -> str:
    found = decode_grey(photo)
    assert isinstance(found, Failure)
    assert "\n" not in found.reason
    return found.reason


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "GIF"])
def test_lossless_formats_give_the_pixels_back(kind: str) -> None:
    pixels = picture(1)
    assert (grey(encoded(Image.fromarray(pixels), kind)) == pixels).all()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "MPO"])
def test_lossy_formats_give_nearly_the_pixels_back(kind: str) -> None:
    pixels = picture(1)
    options: dict[str, object] = {"quality": 95}
    if kind == "MPO":
        options |= {"save_all": True, "append_images": [Image.fromarray(picture(2))]}
    again = grey(encoded(Image.fromarray(pixels), kind, **options))
    assert np.abs(again.astype(int) - pixels).mean() < 2


def test_colour_is_kept_in_rgb_and_weighed_in_grey() -> None:
    photo = encoded(Image.new("RGB", (3, 2), (200, 100, 50)), "PNG")
    assert (colour(photo) == (200, 100, 50)).all()
    assert (grey(photo) == 124).all()  # 0.299 x 200 + 0.587 x 100 + 0.114 x 50


def test_a_model_gets_as_many_channels_as_it_has() -> None:
    photo = encoded(Image.fromarray(tinted(1, 0.9, 0.5, 0.2)), "PNG")
    assert np.array_equal(np.asarray(decode(photo, 1)), grey(photo))
    assert np.array_equal(np.asarray(decode(photo, 3)), colour(photo))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_big_jpeg_in_colour_may_be_decoded_smaller(channels: int) -> None:
    photo = encoded(Image.fromarray(tinted(1, 0.9, 0.5, 0.2)).resize((800, 800)), "JPEG")
    small = decode(photo, channels, least_px=90)
    assert not isinstance(small, Failure)
    assert small.shape[:2] == (100, 100)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_greys_are_scaled_not_clipped(kind: str) -> None:
    wide = np.array([[0, 257, 32_896, 65_535]], dtype=np.uint16)
    assert grey(encoded(Image.fromarray(wide), kind)).tolist() == [[0, 1, 128, 255]]


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ([0, 7, 255, 100], [0, 7, 255, 100]),  # bytes in wide cells
        ([0, 257, 32_896, 65_535], [0, 1, 128, 255]),  # 16 bits in wide cells
        ([0, 2**31 - 1, 2**30, -5], [0, 127, 64, 0]),  # the upper half of 32 bits is negative
    ],
)
def test_32_bit_whole_numbers_are_scaled_by_their_brightest(
    wide: list[int], narrow: list[int]
) -> None:
    photo = encoded(Image.fromarray(np.array([wide], dtype=np.int32)), "TIFF")
    assert grey(photo).tolist() == [narrow]


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ([0.0, 0.5, 1.0, 0.2], [0, 128, 255, 51]),
        ([0.0, 7.0, 254.6, 100.0], [0, 7, 255, 100]),
        ([0.0, 257.0, 65_535.0, -3.0], [0, 1, 255, 0]),
        ([float("nan"), 0.0, 1.0, float("-inf")], [0, 0, 255, 0]),
        ([float("inf"), 0.0, 1.0, 0.5], [255, 0, 255, 128]),
    ],
)
def test_floats_are_scaled_by_their_brightest(wide: list[float], narrow: list[int]) -> None:
    photo = encoded(Image.fromarray(np.array([wide], dtype=np.float32)), "TIFF")
    assert grey(photo).tolist() == [narrow]


def test_wide_greys_are_grey_in_colour_too() -> None:
    wide = np.array([[0, 65_535]], dtype=np.uint16)
    photo = encoded(Image.fromarray(wide), "PNG")
    assert colour(photo).tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_palette() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 90, 90, 90])
    image.putpixel((1, 0), 1)
    assert grey(encoded(image, "PNG")).tolist() == [[0, 90]]


def test_palette_with_transparency_lies_on_mid_grey() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([0, 0, 0, 90, 90, 90])
    image.putpixel((1, 0), 1)
    assert grey(encoded(image, "PNG", transparency=0)).tolist() == [[128, 90]]


@pytest.mark.parametrize(("mode", "white"), [("LA", (255,)), ("RGBA", (255, 255, 255))])
def test_see_through_pixels_lie_on_mid_grey(mode: str, white: tuple[int, ...]) -> None:
    image = Image.new(mode, (2, 1), (*white, 255))
    image.putpixel((0, 0), (*white, 0))
    assert grey(encoded(image, "PNG")).tolist() == [[128, 255]]


def test_cmyk_is_not_inverted() -> None:
    image = Image.new("CMYK", (16, 16), (0, 0, 0, 0))  # no ink is white
    assert grey(encoded(image, "JPEG")).min() > 250


def test_an_animation_gives_its_first_frame() -> None:
    frames = [Image.new("L", (4, 4), level) for level in (10, 200, 90)]
    photo = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (grey(photo) == 10).all()


def laid(pixels: Pixels, orientation: int) -> Pixels:
    """The pixels as a camera stores them that notes this EXIF orientation."""
    stored = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.T,
        6: pixels.T[::-1],
        7: pixels.T[::-1, ::-1],
        8: pixels.T[:, ::-1],
    }
    return np.ascontiguousarray(stored[orientation])


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_set_upright(orientation: int) -> None:
    pixels = picture(3)
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    photo = encoded(Image.fromarray(laid(pixels, orientation)), "PNG", exif=exif)
    assert (grey(photo) == pixels).all()
    assert (colour(photo) == pixels[:, :, None]).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_is_told_as_the_photo_stands(orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    photo = encoded(Image.fromarray(laid(picture(3, 48, 32), orientation)), kind, exif=exif)
    assert upright_size(photo, grey(photo)) == (48, 32)
    assert grey(photo).shape == (32, 48)


@pytest.mark.parametrize("value", [0, 9, 65_535])
def test_the_size_under_an_orientation_that_does_not_exist_is_the_files(value: int) -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = value
    for kind in ("PNG", "JPEG"):
        photo = encoded(Image.fromarray(picture(3)), kind, exif=exif)
        assert upright_size(photo, grey(photo)) == (96, 64)


@pytest.mark.parametrize("kind", ["JPEG", "MPO"])
@pytest.mark.parametrize("orientation", [1, 6])
def test_the_size_is_the_whole_photos_however_small_it_is_decoded(
    kind: str, orientation: int
) -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = orientation
    image = Image.fromarray(laid(picture(1, 1_600, 800), orientation))
    options = {"save_all": True, "append_images": [image]} if kind == "MPO" else {}
    photo = encoded(image, kind, exif=exif, **options)
    small = decode_grey(photo, least_px=90)
    assert not isinstance(small, Failure)
    assert small.shape == (100, 200)
    assert upright_size(photo, small) == (1_600, 800)


def test_nothing_is_decoded_for_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow decodes a whole PNG to look for EXIF behind its pixels."""
    photo = encoded(Image.fromarray(picture(1)), "PNG")
    pixels = grey(photo)
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", lambda image: pytest.fail("loaded"))
    assert upright_size(photo, pixels) == (96, 64)


@pytest.mark.parametrize("value", [0, 9, 65_535])
def test_an_orientation_that_does_not_exist_is_upright(value: int) -> None:
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = value
    assert (grey(encoded(Image.fromarray(picture(3)), "PNG", exif=exif)) == picture(3)).all()


@pytest.mark.filterwarnings("ignore:Corrupt EXIF", "ignore:Truncated File Read")
@pytest.mark.parametrize("junk", [b"garbage", b"II*\0\x08\0\0\0\xff\xff\x12\x01", b"MM\0*\xff\xff"])
def test_broken_exif_does_not_cost_the_photo(junk: bytes) -> None:
    photo = encoded(Image.fromarray(picture(1)), "JPEG", exif=b"Exif\0\0" + junk)
    assert grey(photo).shape == (64, 96)
    assert upright_size(photo, grey(photo)) == (96, 64)


def test_a_big_jpeg_may_be_decoded_smaller() -> None:
    photo = encoded(Image.fromarray(picture(1, 800, 800)), "JPEG")
    small = decode_grey(photo, least_px=90)
    assert not isinstance(small, Failure)
    assert small.shape == (100, 100)


def test_a_big_picture_is_converted_in_strips(monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = picture(1)
    monkeypatch.setattr(photos, "STRIP_PIXELS", 500)  # five rows and a bit at a time
    assert (colour(encoded(Image.fromarray(pixels), "PNG")) == pixels[:, :, None]).all()


def jpeg() -> bytes:
    return encoded(Image.fromarray(picture(1)), "JPEG").data


def giant_png(width: int, height: int) -> bytes:
    """A small file that claims a size."""

    def chunk(name: bytes, body: bytes) -> bytes:
        tail = struct.pack(">I", zlib.crc32(name + body))
        return struct.pack(">I", len(body)) + name + body + tail

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(bytes(1_000_000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + body + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"just a few words", "not a picture in a known format"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture in a known format"),
        (jpeg()[: len(jpeg()) // 2], "damaged picture: .*truncated"),
        (jpeg()[:30], "not a picture|damaged picture"),
        (giant_png(8_000, 8_000), "claims 8000 x 8000 pixels in .* decompression bomb"),
        (giant_png(13_000, 13_000), "too large"),
        (giant_png(60_000, 60_000), "too large"),
        (giant_png(0, 10), "damaged|not a picture"),
    ],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_bad_picture_says_why(data: bytes, reason: str) -> None:
    assert re.search(reason, why_not(in_memory(data)))


def test_only_wanted_decoders_run() -> None:
    """Pillow knows PPM; flukeprint does not."""
    assert "not a picture" in why_not(in_memory(b"P5 2 2 255\n1234"))


@pytest.mark.parametrize("name", ["a.jpg", "two words.jpg", "Größe 鯨.jpg", "line\nbreak.jpg"])
def test_any_name_will_do(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(jpeg())
    photo = read_photo(path)
    assert isinstance(photo, PhotoFile)
    assert photo.path == path


@pytest.mark.skipif(os.name == "nt" or sys.platform == "darwin", reason="names are Unicode here")
def test_an_undecodable_name_will_do(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.JPG"))
    path.write_bytes(jpeg())
    assert find_photos([tmp_path]) == [path]
    assert isinstance(read_photo(path), PhotoFile)


def reason_of(path: Path) -> str:
    found = read_photo(path)
    assert isinstance(found, Failure)
    assert found.path == path
    return found.reason


def test_files_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    empty = tmp_path / "empty.jpg"
    empty.touch()
    assert "empty (0 bytes)" in reason_of(empty)
    assert reason_of(tmp_path) == "not a file"
    assert reason_of(tmp_path / "missing.jpg") == "no such file"
    assert "too long" in reason_of(tmp_path / ("x" * 300)).lower()
    assert reason_of(tmp_path / "nul\0.jpg") == "no such file"


def test_an_unreadable_file_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "locked.jpg"
    path.write_bytes(jpeg())

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)  # root reads whatever the mode says
    assert reason_of(path) == "cannot be read: Permission denied"


def test_a_file_larger_than_a_photo_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "sparse.jpg"
    with path.open("wb") as stream:
        stream.truncate(photos.MAX_BYTES + 1)
    assert "larger than 256 MiB" in reason_of(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    assert reason_of(tmp_path / "pipe.jpg") == "not a file"


def test_folders_give_what_looks_like_photos_in_name_order(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "z/c.jpeg", "z/y/d.webp", "m/e.TIFF"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in ("notes.txt", ".hidden.jpg", "jpg"):
        (tmp_path / name).touch()
    (tmp_path / ".thumbs").mkdir()
    (tmp_path / ".thumbs" / "f.jpg").touch()
    found = [path.relative_to(tmp_path).as_posix() for path in find_photos([tmp_path])]
    assert found == ["a.png", "b.JPG", "m/e.TIFF", "z/c.jpeg", "z/y/d.webp"]


def test_a_photo_named_twice_is_found_once(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.touch()
    assert find_photos([path, tmp_path, path]) == [path]


def test_a_file_named_outright_needs_no_suffix(tmp_path: Path) -> None:
    path = tmp_path / "scan"
    path.touch()
    assert find_photos([path]) == [path]


def test_a_link_to_itself_does_not_hang(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "self.jpg").symlink_to(tmp_path / "self.jpg")
    assert find_photos([tmp_path])[0] == tmp_path / "a.jpg"
    assert isinstance(read_photo(tmp_path / "self.jpg"), Failure)


@pytest.mark.parametrize("name", ["missing.jpg", "x" * 300 + ".jpg", "nul\0.jpg"])
def test_a_path_that_is_not_there_is_an_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(FlukeprintError, match="no such photo or folder"):
        find_photos([tmp_path / name])


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FlukeprintError, match="no photos in this folder .looked for .bmp"):
        find_photos([tmp_path])


def test_a_folder_of_formats_that_are_not_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "IMG_1.HEIC").touch()
    with pytest.raises(FlukeprintError, match="folder .left out 1 .heic; save them as JPEG.$"):
        find_photos([tmp_path])


def test_linked_folders_are_named_where_they_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "a.jpg").touch()
    asked = tmp_path / "asked"
    asked.mkdir()
    link = asked / "linked"
    link.symlink_to(tmp_path / "disk", target_is_directory=True)
    with pytest.raises(FlukeprintError, match=f"no photos .*left out the linked folder {link};"):
        find_photos([asked])
    (asked / "b.HEIC").touch()
    (asked / "linked too").symlink_to(tmp_path / "disk", target_is_directory=True)
    assert left_out([asked]) == [
        f"{asked}: left out 1 .heic; save them as JPEG; left out the linked folder {link} "
        "and 1 more; put copies of the photos in"
    ]
    assert left_out([link]) == []  # named itself, it is read
    assert find_photos([link]) == [link / "a.jpg"]


def test_a_folder_that_cannot_be_listed_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: object) -> object:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(FlukeprintError, match="cannot list this folder: Permission denied"):
        find_photos([tmp_path])


def test_threads_take_turns_where_pictures_are_giant() -> None:
    room, busy, most = photos._Room(10), 0, 0
    lock = threading.Lock()

    def work(pixels: int) -> None:
        nonlocal busy, most
        with room.taken(pixels):
            with lock:
                busy += min(pixels, 10)
                most = max(most, busy)
            time.sleep(0.001)
            with lock:
                busy -= min(pixels, 10)

    threads = [threading.Thread(target=work, args=(size,)) for size in (3, 4, 99, 1, 10, 6, 2) * 5]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)
    assert most <= 10


MEMORY = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from flukeprint.photos import decode_grey, read_photo
with ThreadPoolExecutor(4) as pool:
    done = list(pool.map(lambda path: decode_grey(read_photo(path)).shape, [Path(sys.argv[1])] * 4))
assert done == [(8000, 8000)] * 4, done
lines = Path("/proc/self/status").read_text().splitlines()
print(int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) // 1024)
"""


def test_giant_pictures_at_once_stay_under_a_gigabyte(
    tmp_path: Path, write_picture: Callable[..., Path]
) -> None:
    # Not getrusage: its peak is inherited from the process that starts this one.
    if not Path("/proc/self/status").exists():
        pytest.skip("memory is not told here")
    noise: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 99, (80, 8_000, 3), np.uint8)
    path = write_picture(tmp_path / "giant.jpg", np.tile(noise, (100, 1, 1)), quality=20)
    ran = subprocess.run(
        [sys.executable, "-c", MEMORY, str(path)],
        env={**os.environ, "PYTHONPATH": str(Path(photos.__file__).parents[1])},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(ran.stdout) < 1_000
