"""Tests of the drawn pictures that show no fluke."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from flukeprint.drawn.others import FONT_FOLDER, FONTS, OTHER_FONTS, SIDE_PX, draw_on, draw_page


def test_fonts_to_test_with_are_not_those_to_learn_from() -> None:
    assert not set(FONTS) & set(OTHER_FONTS)
    assert all((Path(FONT_FOLDER) / f"{name}.ttf").is_file() for name in (*FONTS, *OTHER_FONTS))


@pytest.mark.parametrize("fonts", [FONTS, OTHER_FONTS])
def test_pages_are_paper_and_ink(fonts: tuple[str, ...]) -> None:
    """Dark on light or light on dark; nearly all of them bear writing, and mostly paper."""
    pages = [draw_page(np.random.default_rng([7, number]), fonts) for number in range(40)]
    assert {(page.shape, page.dtype.name) for page in pages} == {((SIDE_PX, SIDE_PX), "uint8")}
    assert sum(float(page.std()) > 5 for page in pages) > 35
    light = [float(np.median(page)) > 127 for page in pages]
    assert 0.5 < np.mean(light) < 0.95


def test_something_is_drawn_and_the_ground_stays_around_it() -> None:
    ground = np.full((30, 50), 128, dtype=np.uint8)
    made = [draw_on(ground, np.random.default_rng([8, number])) for number in range(40)]
    assert {(one.shape, one.dtype.name) for one in made} == {((SIDE_PX, SIDE_PX), "uint8")}
    changed = [float((np.abs(one.astype(int) - 128) > 8).mean()) for one in made]
    assert min(changed) > 0 and np.median(changed) < 0.2
    assert (ground == 128).all()


def test_a_picture_follows_from_its_generator() -> None:
    ground = np.full((30, 50), 128, dtype=np.uint8)
    for draw in (draw_page, lambda rng: draw_on(ground, rng)):
        first, again, other = (draw(np.random.default_rng(seed)) for seed in (1, 1, 2))
        assert (first == again).all()
        assert (first != other).any()
