"""A picture and a model small enough to reason about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from flukeprint.decide import Calibration
from flukeprint.model import Manifest, Model, save_model
from flukeprint.photos import PhotoFile
from flukeprint.records import Box, Fluke, LabelledPhoto, Look, Quality, Table

Pixels = NDArray[np.uint8]

# name, individual, seed of the picture: w_a has twins, 5.jpg and 6.jpg are unidentified.
SMALL = (
    ("1.jpg", "w_a", 1),
    ("2.jpg", "w_a", 1),
    ("3.jpg", "w_a", 3),
    ("4.jpg", "w_b", 4),
    ("5.jpg", "new_whale", 5),
    ("6.jpg", "new_whale", 6),
    ("7.jpg", "w_c", 7),
)

CALIBRATION = Calibration(20.0, 0.0, -12.0, -14.0, 0.0)
TINY = Manifest(
    kind="embedding",
    height_px=32,
    width_px=64,
    margin=0.0,
    localiser_px=16,
    embedding_size=64,
    preprocessing="none",
    calibration=CALIBRATION.to_dict(),
)


def picture(seed: int, width: int = 96, height: int = 64) -> Pixels:
    """A grey picture like no other seed's: blurred noise, (height, width) uint8."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 9), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def table_of(*rows: tuple[str, str], encounters: dict[str, str] | None = None) -> Table:
    """A table of (name, individual) whose photos need not exist."""
    met = encounters or {}
    return Table(
        Path("made-up"),
        tuple(LabelledPhoto(name, Path(name), who, "", met.get(name, "")) for name, who in rows),
    )


def tinted(seed: int, red: float, green: float, blue: float) -> Pixels:
    """The same picture in one colour: (64, 96, 3) uint8, each channel a share of the grey."""
    grey = picture(seed)
    return np.stack([(share * grey).round().astype(np.uint8) for share in (red, green, blue)], -1)


def dark(width: int = 96, height: int = 64) -> Pixels:
    """A black photo, which shows nothing."""
    return np.zeros((height, width), dtype=np.uint8)


def seen(quality: float = 0.5, **fluke: object) -> Look:
    """A fluke of 200 x 80 pixels, in the middle of a photo of 400 x 160; ``fluke`` changes it."""
    found = replace(Fluke(Box(0.25, 0.25, 0.75, 0.75)), **fluke)  # type: ignore[arg-type]
    return Look(found, Quality(200.0, 80.0, 0.5, 0.5, 0.0, quality))


UNSEEN = seen(0.25, probability=0.125)


def in_memory(data: bytes) -> PhotoFile:
    """A photo that was never on disk."""
    return PhotoFile(Path("memory.jpg"), data, "0" * 64)


def _serialised(
    nodes: Sequence[onnx.NodeProto],
    size: tuple[int, int, int],
    out: tuple[int, ...],
    **constants: object,
) -> bytes:
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", *size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", *out])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    proto = helper.make_model(graph, opset_imports=opset, ir_version=8)
    return bytes(proto.SerializeToString())


def embedder_onnx(height: int = 32, width: int = 64, channels: int = 1) -> bytes:
    """(N, channels, height, width) to (N, 64 channels).

    Averages of 8 x 8 cells in each channel, less their mean over all, length 1.
    """
    kernel = [height // 8, width // 8]
    nodes = [
        helper.make_node("AveragePool", ["x"], ["cells"], kernel_shape=kernel, strides=kernel),
        helper.make_node("Flatten", ["cells"], ["flat"], axis=1),
        helper.make_node("ReduceMean", ["flat"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["flat", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "centred"], ["squared"]),
        helper.make_node("ReduceSum", ["squared", "axis"], ["sum"], keepdims=1),
        helper.make_node("Sqrt", ["sum"], ["length"]),
        helper.make_node("Max", ["length", "least"], ["safe"]),
        helper.make_node("Div", ["centred", "safe"], ["y"]),
    ]
    least = np.float32(1e-6)
    size = channels, height, width
    return _serialised(nodes, size, (64 * channels,), axis=np.array([1]), least=least)


def place(
    *corners: float,
    logit: float = 10.0,
    upside_down: float = -10.0,
    slope: float = 0.0,
    shown: float = 10.0,
) -> list[float]:
    """What a localiser says of one place: a level fluke within the corners x0 y0 x1 y1."""
    return [logit, *corners, upside_down, slope, shown]


def places_onnx(*places: list[float], side: int = 16, light: float = 0.0) -> bytes:
    """(N, 1, side, side) to (N, P, 8): the same places whatever the photo.

    But ``light`` times the photo's mean grey is added to each place's logit of a fluke shown.
    """
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "weights"], ["lit"]),
        helper.make_node("Add", ["lit", "places"], ["row"]),
        helper.make_node("Reshape", ["row", "shape"], ["y"]),
    ]
    weights = np.zeros((side * side, len(places), 8), dtype=np.float32)
    weights[:, :, 7] = light / side**2
    return _serialised(
        nodes,
        (1, side, side),
        (len(places), 8),
        weights=weights.reshape(side * side, -1),
        places=np.array(places, dtype=np.float32).reshape(1, -1),
        shape=np.array([0, len(places), 8]),
    )


def localiser_onnx(
    *corners: float,
    side: int = 16,
    light: float = 0.0,
    logit: float = 10.0,
    upside_down: float = -10.0,
    slope: float = 0.0,
    shown: float = 10.0,
) -> bytes:
    """(N, 1, side, side) to (N, 1, 8): one fluke within the corners x0 y0 x1 y1.

    See :func:`places_onnx`.
    """
    only = place(*corners, logit=logit, upside_down=upside_down, slope=slope, shown=shown)
    return places_onnx(only, side=side, light=light)


def softmax_onnx(rows: Pixels) -> bytes:
    """Pixels as ``rows`` holds them, (C, H, W), to (N, len(rows)): likeness to each of the rows.

    Rows of (H, W) are of one channel.
    """
    flat = rows.reshape(len(rows), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True) * 4_000
    nodes = [
        helper.make_node("Flatten", ["x"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "weights"], ["y"]),
    ]
    *colours, height, width = rows.shape[1:]
    size = colours[0] if colours else 1, height, width
    return _serialised(nodes, size, (len(rows),), weights=flat.T.copy())


def make_model(path: Path, **changes: object) -> Model:
    """Pack the tiny model; ``changes`` are the manifest's."""
    manifest = replace(TINY, **changes)  # type: ignore[arg-type]
    embedder = embedder_onnx(channels=manifest.channels)
    return save_model(manifest, embedder, localiser_onnx(0.0, 0.0, 1.0, 1.0), path)


def make_picky_model(path: Path) -> Model:
    """The tiny model, but a photo darker than a mean grey of 50 shows no fluke."""
    localiser = localiser_onnx(0.0, 0.0, 1.0, 1.0, shown=-50.0, light=1.0)
    return save_model(TINY, embedder_onnx(), localiser, path)
