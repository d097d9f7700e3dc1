"""Tests of the drawn whales, their photos and catalogues."""

import csv
import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from flukeprint.drawn import DrawnPhoto, draw_whale, photograph
from flukeprint.drawn.catalogue import write_catalogue
from flukeprint.drawn.whale import DrawnWhale, Floats, flat_fluke
from flukeprint.errors import FlukeprintError


def _small(whale: DrawnWhale, shot: int) -> DrawnPhoto:
    return photograph(whale, shot, width_px=160, height_px=90)


def test_a_seed_gives_one_whale_and_others_differ() -> None:
    assert draw_whale(5) == draw_whale(5)
    whales = {draw_whale(seed) for seed in range(40)}
    assert len(whales) == 40


def test_a_shot_gives_one_photo_and_others_differ() -> None:
    whale = draw_whale(3)
    first = _small(whale, 0)
    flat_fluke.cache_clear()
    again = _small(draw_whale(3), 0)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert first.box == again.box
    for other in (_small(whale, 1), _small(draw_whale(4), 0)):
        assert np.abs(first.pixels.astype(int) - other.pixels).mean() > 3


def test_photographing_leaves_numpys_global_state_alone() -> None:
    before = np.random.get_state()[1]  # type: ignore[index]
    _small(draw_whale(8), 2)
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # type: ignore[index]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    shot=st.integers(0, 2**32 - 1),
    width=st.integers(32, 200),
    height=st.integers(32, 200),
)
def test_any_photo_has_its_size_and_a_sound_box(
    seed: int, shot: int, width: int, height: int
) -> None:
    photo = photograph(draw_whale(seed), shot, width_px=width, height_px=height)
    assert photo.pixels.shape == (height, width, 3)
    assert photo.pixels.dtype == np.uint8
    assert photo.pixels.std() > 1
    box = photo.box
    assert 0 <= box.x0 < box.x1 <= 1
    assert 0 <= box.y0 < box.y1 <= 1
    assert (box.x1 - box.x0) * width >= 6
    assert (box.y1 - box.y0) * height >= 2


def _repainted(whale: DrawnWhale, tone: float) -> DrawnWhale:
    """The same tail and photos, with skin of one brightness."""
    return dataclasses.replace(whale, tones=(tone, tone), scars=(), speckle=(-9.0, -9.0))


@pytest.mark.parametrize("seed", range(12))
def test_the_box_bounds_the_fluke_in_the_pixels(seed: int) -> None:
    # Only the skin differs between the two photos, so the pixels that differ are the fluke's.
    # Splash may hide its bottom, blur and a cover of a half move each side by a few pixels.
    whale = draw_whale(seed)
    dark = photograph(_repainted(whale, 0.05), seed)
    light = photograph(_repainted(whale, 0.9), seed)
    assert dark.box == light.box
    change = np.abs(light.pixels.astype(int) - dark.pixels).max(axis=2)
    fluke = change > 0.25 * np.percentile(change, 99.5)
    rows, columns = fluke.shape
    xs, ys = np.flatnonzero(fluke.any(axis=0)), np.flatnonzero(fluke.any(axis=1))
    box = dark.box
    assert abs(xs[0] - box.x0 * columns) <= 5
    assert abs(xs[-1] + 1 - box.x1 * columns) <= 5
    assert abs(ys[0] - box.y0 * rows) <= 5
    assert ys[-1] + 1 <= box.y1 * rows + 5


def test_some_photos_are_grey_and_some_coloured() -> None:
    grey = 0
    for shot in range(60):
        pixels = photograph(draw_whale(1), shot, width_px=64, height_px=36).pixels
        grey += bool((pixels == pixels[..., :1]).all())
    assert 12 <= grey <= 36


def test_flukes_are_not_mirror_images() -> None:
    for seed in range(10):
        skin, cover = flat_fluke(draw_whale(seed))
        assert np.abs(cover - cover[:, ::-1]).sum() > 100
        both = (cover > 0.9) & (cover[:, ::-1] > 0.9)
        assert np.abs(skin - skin[:, ::-1])[both].mean() > 0.01


def test_flat_flukes_are_shared_safely() -> None:
    fluke = flat_fluke(draw_whale(2))
    assert fluke.shape == (2, 360, 480)
    assert fluke.dtype == np.float32
    assert fluke.min() >= 0
    assert fluke.max() <= 1
    assert not fluke.flags.writeable
    assert flat_fluke(draw_whale(2), 2).shape == (2, 90, 120)


def _crop(photo: DrawnPhoto) -> Floats:
    """The fluke as a standardised grey 24 by 48 picture."""
    rows, columns, _ = photo.pixels.shape
    box = photo.box
    corners = (box.x0 * columns, box.y0 * rows, box.x1 * columns, box.y1 * rows)
    image = Image.fromarray(photo.pixels).convert("L").resize((48, 24), box=corners)
    grey = np.asarray(image, dtype=np.float32)
    standard: Floats = (grey - grey.mean()) / (grey.std() + 1)
    return standard


def test_photos_of_one_whale_are_alike() -> None:
    crops = [[_crop(_small(draw_whale(seed), shot)) for shot in range(6)] for seed in range(16)]
    flat = np.array(crops).reshape(16 * 6, -1)
    alike = flat @ flat.T / flat.shape[1]
    whale = np.repeat(np.arange(16), 6)
    same = (whale[:, None] == whale) & ~np.eye(len(whale), dtype=bool)
    different = whale[:, None] != whale
    assert alike[same].mean() > alike[different].mean() + 0.1


def test_marks_differ_more_between_whales_than_under_other_light() -> None:
    planes = [flat_fluke(draw_whale(seed), 2).prod(axis=0).ravel() for seed in range(20)]
    correlation = np.corrcoef(planes)
    others = correlation[~np.eye(20, dtype=bool)]
    assert np.median(others) < 0.85
    relit = [plane * 0.6 + 0.1 * np.linspace(0, 1, plane.size) for plane in planes]
    for place, plane in enumerate(planes):
        own = np.corrcoef(plane, relit[place])[0, 1]
        assert own > max(np.delete(correlation[place], place))


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_seeds_and_shots_out_of_range_are_refused(seed: int) -> None:
    with pytest.raises(ValueError, match="seed"):
        draw_whale(seed)
    with pytest.raises(ValueError, match="shot"):
        photograph(draw_whale(0), seed)


def test_photos_too_small_are_refused() -> None:
    with pytest.raises(ValueError, match="31x90"):
        photograph(draw_whale(0), 0, width_px=31, height_px=90)


def _files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_catalogue_has_exactly_what_was_asked(tmp_path: Path) -> None:
    made = write_catalogue(tmp_path / "a", whales=3, photos=2, strangers=2, queries=2, seed=7)
    assert made.gallery == tmp_path / "a" / "gallery"
    individuals = sorted(path.name for path in made.gallery.iterdir())
    assert len(individuals) == 3
    for name in individuals:
        assert len(list((made.gallery / name).glob("*.jpg"))) == 2
    assert len(made.queries) == 3 * 2 + 2
    assert set(made.queries) == set((tmp_path / "a" / "queries").iterdir())
    identities = list(made.answers.values())
    assert identities.count("new_whale") == 2
    assert all(identities.count(name) == 2 for name in individuals)
    with (tmp_path / "a" / "answers.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {tmp_path / "a" / row["path"]: row["identity"] for row in rows} == made.answers
    files = _files(tmp_path / "a")
    assert len(files) == 3 * 2 + 8 + 1
    assert len(set(files.values())) == len(files)
    with Image.open(made.queries[0]) as image:
        assert image.format == "JPEG"
        assert image.size == (480, 270)


def test_a_catalogue_follows_from_its_seed(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        write_catalogue(tmp_path / name, whales=1, photos=1, strangers=1, queries=1, seed=seed)
    first = _files(tmp_path / "a")
    assert first == _files(tmp_path / "b")
    assert not set(first.values()) & set(_files(tmp_path / "c").values())


def test_query_names_reveal_nothing(tmp_path: Path) -> None:
    made = write_catalogue(tmp_path, whales=4, photos=1, strangers=4, queries=2, seed=3)
    names = [path.name for path in made.queries]
    assert names == sorted(names)
    assert {len(name) for name in names} == {len("00000000.jpg")}
    assert not set(names) & {path.name for path in made.gallery.rglob("*.jpg")}
    identities = [made.answers[path] for path in made.queries]
    # Neither the whales' order nor the strangers' place shows in the order of the names.
    assert identities != sorted(identities)
    assert "new_whale" in identities[:8]


def test_a_catalogue_is_not_mixed_into_another(tmp_path: Path) -> None:
    write_catalogue(tmp_path, whales=1, photos=1, strangers=0, queries=0, seed=0)
    before = _files(tmp_path)
    with pytest.raises(FlukeprintError, match="gallery"):
        write_catalogue(tmp_path, whales=1, photos=1, strangers=0, queries=0, seed=1)
    assert _files(tmp_path) == before


def test_negative_counts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="negative"):
        write_catalogue(tmp_path, whales=1, photos=-1, strangers=0, queries=0, seed=0)
    assert not _files(tmp_path)
