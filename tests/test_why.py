"""A map is high where the likeness hangs on a part, and zero where nothing does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from flukeprint.errors import FlukeprintError
from flukeprint.model import Model
from flukeprint.network import Network
from flukeprint.why import occlusion_map
from tests.tiny import Pixels, picture


class OnePixel(Network):
    """Embeds the brightness of one pixel: black is (0, 1), white is (1, 0). Sees nothing else."""

    def __init__(self, model: Model, row: int, column: int) -> None:
        self.model = model
        self.pixel = row, column
        self.batches: list[int] = []

    def embed(self, crops: Sequence[Pixels]) -> NDArray[np.float32]:
        self.batches.append(len(crops))
        bright = np.array([cut[self.pixel].mean() / 255 for cut in crops])
        return np.stack([bright, np.sqrt(1 - bright**2)], axis=1).astype(np.float32)


def one_white(rows: int, columns: int, row: int, column: int) -> Pixels:
    """A black crop with one white pixel."""
    cut = np.zeros((rows, columns), dtype=np.uint8)
    cut[row, column] = 255
    return cut


def test_only_what_matters_is_on_the_map(tiny_model: Model) -> None:
    """Crops of 12 x 12 pixels: patches of 2 x 2, one pixel apart, so that four hide each pixel."""
    cut = one_white(12, 12, 6, 3)
    found = occlusion_map(OnePixel(tiny_model, 6, 3), cut, cut)
    grey = round(255 / 144)
    fall = 1 - grey / 255
    wanted = np.zeros((12, 12))
    wanted[5:8, 2:5] = np.outer([0.5, 1, 0.5], [0.5, 1, 0.5]) * fall
    assert found.shape == (12, 12)
    assert found.dtype == np.float32
    assert found == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("corner", [(0, 0), (0, 11), (11, 0), (11, 11)])
def test_edges_count_as_much_as_the_middle(tiny_model: Model, corner: tuple[int, int]) -> None:
    cut = one_white(12, 12, *corner)
    found = occlusion_map(OnePixel(tiny_model, *corner), cut, cut)
    assert found[corner] == pytest.approx(1 - 2 / 255)
    assert np.argwhere(found == found.max()).tolist() == [list(corner)]


def test_what_makes_them_unlike_is_below_zero(tiny_model: Model) -> None:
    """The other crop is black there: hiding the white pixel makes the two more alike."""
    cut, other = one_white(12, 12, 6, 6), np.zeros((12, 12), dtype=np.uint8)
    found = occlusion_map(OnePixel(tiny_model, 6, 6), cut, other)
    assert found[6, 6] == pytest.approx(-np.sqrt(1 - (2 / 255) ** 2))
    assert found.max() == 0.0


def test_hiding_changes_neither_crop(tiny_model: Model) -> None:
    cut, other = picture(1, 64, 32), picture(2, 64, 32)
    before = cut.copy(), other.copy()
    occlusion_map(OnePixel(tiny_model, 6, 6), cut, other)
    assert (cut == before[0]).all()
    assert (other == before[1]).all()


def test_a_crop_of_one_pixel_loses_nothing(tiny_model: Model) -> None:
    """Its mean grey is itself."""
    cut = np.full((1, 1), 200, dtype=np.uint8)
    found = occlusion_map(OnePixel(tiny_model, 0, 0), cut, cut)
    assert found.tolist() == [[0.0]]


def test_colour_is_hidden_by_the_mean_of_each_channel(tiny_model: Model) -> None:
    cut = np.zeros((1, 1, 3), dtype=np.uint8)
    cut[:] = 10, 100, 200
    found = occlusion_map(OnePixel(tiny_model, 0, 0), cut, cut)
    assert found.tolist() == [[0.0]]


def test_a_real_network_agrees_with_hiding_by_hand(tiny_model: Model) -> None:
    """Patches of 32 x 64 pixels are 5 x 11; the first hides one row and two columns."""
    network, cut, other = Network(tiny_model), picture(1, 64, 32), picture(2, 64, 32)
    found = occlusion_map(network, cut, other)
    assert found.shape == (32, 64)
    falls = []
    for bottom in range(1, 6):
        for right in range(2, 12, 2):
            hidden = cut.copy()
            hidden[max(bottom - 5, 0) : bottom, max(right - 11, 0) : right] = cut.mean().round()
            whole, less, target = network.embed([cut, hidden, other])
            falls.append(whole @ target - less @ target)
    assert found[0, 0] == pytest.approx(np.mean(falls), abs=1e-6)


def test_patches_go_through_the_network_in_batches(tiny_model: Model) -> None:
    network = OnePixel(tiny_model, 0, 0)
    occlusion_map(network, picture(1, 12, 12), picture(2, 12, 12))
    assert network.batches == [2, 64, 64, 41]  # the pair, then 13 x 13 patches


def test_a_softmax_model_has_no_likeness_to_map(tiny_model: Model) -> None:
    softmax = replace(tiny_model, manifest=replace(tiny_model.manifest, kind="softmax"))
    with pytest.raises(FlukeprintError, match="compares with no photo"):
        occlusion_map(OnePixel(softmax, 0, 0), picture(1), picture(2))
