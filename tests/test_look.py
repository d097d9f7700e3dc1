"""A look at photos: in their order, a bad one named, and crops that overwrite nothing of ours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flukeprint import look as look_module
from flukeprint.crops import crop, evened
from flukeprint.embed import embed_photos
from flukeprint.errors import FlukeprintError
from flukeprint.look import DETAIL, Shrunk, look_at, shrink, write_crop
from flukeprint.model import Model
from flukeprint.network import Network
from flukeprint.photos import PhotoFile, read_photo
from flukeprint.quality import quality_of
from flukeprint.records import Box, Failure, Fluke, Look
from tests.tiny import dark, localiser_onnx, make_model, make_picky_model, picture, tinted


@pytest.fixture
def photos(tmp_path: Path, write_picture: Callable[..., Path]) -> list[Path]:
    """Ten different photos, the last one black."""
    scenes = [*(picture(number) for number in range(9)), dark()]
    return [
        write_picture(tmp_path / "photos" / f"{number}.png", scene)
        for number, scene in enumerate(scenes)
    ]


@pytest.fixture
def network(tmp_path: Path) -> Network:
    """The tiny model, to which a black photo shows no fluke."""
    return Network(make_picky_model(tmp_path / "picky.fluke"))


def shrunk(path: Path, network: Network) -> Shrunk:
    photo = read_photo(path)
    assert isinstance(photo, PhotoFile)
    found = shrink(photo, network)
    assert isinstance(found, Shrunk)
    return found


@pytest.mark.parametrize("batch", [1, 3, 64])
def test_the_order_is_kept_and_a_bad_photo_is_a_failure(
    photos: list[Path], network: Network, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    monkeypatch.setattr(look_module, "BATCH", batch)
    photos[4].write_text("no picture")
    photos[0].write_bytes(b"")
    asked = [*photos, photos[0].with_name("missing.png"), photos[1]]
    found = list(look_at(asked, network))
    assert [path for path, _, _ in found] == asked
    failed = [place for place, (_, output, _) in enumerate(found) if isinstance(output, Failure)]
    assert failed == [0, 4, 10]
    for place, (path, output, cut) in enumerate(found):
        if isinstance(output, Failure):
            assert output.path == path
            assert cut is None
        else:
            assert output.fluke.seen == (place != 9)
            assert cut is not None
    for (_, one, cut), (_, other, again) in ((found[1], found[11]), (found[2], found[2])):
        assert one == other
        assert np.array_equal(cut, again)  # type: ignore[arg-type]


def test_nothing_to_look_at_and_nothing_but_failures(network: Network, tmp_path: Path) -> None:
    assert list(look_at([], network)) == []
    missing = tmp_path / "missing.jpg"
    assert list(look_at([missing], network)) == [(missing, Failure(missing, "no such file"), None)]


def test_a_look_is_what_the_localiser_says_and_the_quality_of_that(
    tiny_model: Model, tmp_path: Path, write_picture: Callable[..., Path]
) -> None:
    localiser = localiser_onnx(0.125, 0.25, 0.625, 0.75, slope=0.25, upside_down=9.0, shown=0.0)
    network = Network(replace(tiny_model, localiser=localiser))
    path = write_picture(tmp_path / "a.png", picture(1))
    ((_, output, cut),) = look_at([path], network)
    fluke = Fluke(Box(0.125, 0.25, 0.625, 0.75), 0.5, 0.25, upside_down=True)
    assert output == Look(fluke, quality_of(picture(1), fluke, (96, 64)))
    assert isinstance(output, Look)
    assert (output.quality.width_px, output.quality.height_px) == (48.0, 32.0)
    assert np.array_equal(cut, crop(picture(1), fluke, 32, 64))  # type: ignore[arg-type]


def test_the_looks_beside_the_embeddings_are_the_same(photos: list[Path], network: Network) -> None:
    output = [output for _, output, _ in look_at(photos, network)]
    assert list(embed_photos(photos, network).looks) == output


def test_sizes_are_of_the_photo_as_taken_and_upright(
    network: Network, tmp_path: Path, write_picture: Callable[..., Path]
) -> None:
    """A JPEG decoded at a quarter of its size and shrunk, and one that lies on its side."""
    large = write_picture(tmp_path / "large.jpg", picture(1, 2_400, 1_600))
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = write_picture(tmp_path / "lying.jpg", picture(1, 2_400, 1_600), exif=exif)
    assert shrunk(large, network).pixels.shape == (134, 300)
    assert shrunk(large, network).size_px == (2_400, 1_600)
    assert shrunk(lying, network).size_px == (1_600, 2_400)
    (_, output, _), (_, turned, _) = look_at([large, lying], network)
    assert isinstance(output, Look)
    assert isinstance(turned, Look)
    assert (output.quality.width_px, output.quality.height_px) == (2_400.0, 1_600.0)
    assert (turned.quality.width_px, turned.quality.height_px) == (1_600.0, 2_400.0)


def test_a_photo_is_kept_as_large_as_a_small_fluke_needs(
    network: Network, tmp_path: Path, write_picture: Callable[..., Path]
) -> None:
    path = write_picture(tmp_path / "wide.png", np.zeros((300, 9_000), dtype=np.uint8))
    height, width = shrunk(path, network).pixels.shape
    assert height >= DETAIL * 32
    assert DETAIL * 64 <= width < 2 * DETAIL * 64
    small = write_picture(tmp_path / "small.png", picture(1))
    assert (shrunk(small, network).pixels == picture(1)).all()


def test_a_colour_model_looks_at_colour(tmp_path: Path, write_picture: Callable[..., Path]) -> None:
    network = Network(make_model(tmp_path / "c.fluke", channels=3, embedding_size=192))
    path = write_picture(tmp_path / "a.png", tinted(1, 0.9, 0.5, 0.2))
    ((_, output, cut),) = look_at([path], network)
    assert isinstance(output, Look)
    assert cut is not None
    assert cut.shape == (32, 64, 3)


def opened(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("PNG", "L")
        return np.asarray(image)


def test_a_crop_is_written_evened_in_a_folder_that_is_made(tmp_path: Path) -> None:
    taken: set[str] = set()
    out = tmp_path / "deep" / "out"
    for photo, cut in (("a.JPG", picture(1, 64, 32)), ("b.png", tinted(2, 0.9, 0.5, 0.1))):
        path = write_crop(cut, Path("somewhere") / photo, out, taken)
        assert path == out / f"{photo[0]}.png"
        assert (opened(path) == evened(cut)).all()
    assert taken == {"a.png", "b.png"}


def test_names_that_clash_are_numbered(tmp_path: Path) -> None:
    """Whatever the case: some disks do not tell A.png from a.png."""
    taken: set[str] = set()
    photos = ["x/a.jpg", "y/a.jpg", "a-2.jpg", "A.png", "a.b.jpg", "a.b.tif", "a"]
    names = [write_crop(picture(1), Path(name), tmp_path, taken).name for name in photos]
    assert names == ["a.png", "a-2.png", "a-2-2.png", "A-3.png", "a.b.png", "a.b-2.png", "a-4.png"]
    assert {path.name for path in tmp_path.iterdir()} == set(names)
    assert taken == {name.lower() for name in names}


def test_a_taken_name_is_never_written_to(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("mine")
    path = write_crop(picture(1), Path("a.jpg"), tmp_path, {"a.png"})
    assert path.name == "a-2.png"
    assert (tmp_path / "a.png").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FlukeprintError, match="cannot make this folder"):
        write_crop(picture(1), Path("a.jpg"), tmp_path / "file" / "out", set())
