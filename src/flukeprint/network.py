"""Run a model's networks with ONNX Runtime: grey pixels in, boxes and embeddings out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from flukeprint.crops import WHOLE, crop
from flukeprint.errors import FlukeprintError
from flukeprint.model import Model
from flukeprint.records import Box

if TYPE_CHECKING:
    import onnxruntime

DEVICES = ("auto", "cpu", "cuda")
LEAST_SIDE = 0.02  # of the photo: a smaller box would be magnified noise


class Network:
    """A model made ready to run.

    Raises:
        FlukeprintError: ONNX Runtime refuses the network, it keeps data in other files, or the
            device asked for is not there.
    """

    def __init__(self, model: Model, *, device: str = "auto", threads: int | None = None) -> None:
        self.model = model
        self._embedder = _session(model.embedder, "embedder", device, threads)
        self._localiser = (
            _session(model.localiser, "localiser", device, threads) if model.localiser else None
        )
        self.device = self._embedder.get_providers()[0].removesuffix("ExecutionProvider").lower()

    def squash(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A grey photo (height, width) uint8 as the localiser sees it: a square of its own size."""
        side = self.model.manifest.localiser_px
        small = Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR)
        return np.asarray(small)

    def locate(self, squashed: Sequence[NDArray[np.uint8]]) -> list[Box]:
        """Find the flukes in N squashed photos (see :meth:`squash`)."""
        if self._localiser is None:
            return [WHOLE] * len(squashed)
        batch = np.stack(squashed)[:, None].astype(np.float32)
        return [box_of(corners) for corners in _run(self._localiser, batch)]

    def cut(self, pixels: NDArray[np.uint8], box: Box) -> NDArray[np.uint8]:
        """The crop that the embedder sees of one grey photo, (height_px, width_px) uint8."""
        manifest = self.model.manifest
        margin = manifest.margin if self._localiser else 0.0
        return crop(pixels, box, manifest.height_px, manifest.width_px, margin=margin)

    def embed(self, crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """N crops (see :meth:`cut`) to (N, embedding_size) float32: unit vectors, or logits."""
        return _run(self._embedder, np.stack(crops)[:, None].astype(np.float32))


def box_of(corners: NDArray[np.float32]) -> Box:
    """A box from a network's four numbers x0 y0 x1 y1, kept inside the photo and not too thin."""
    low, high = np.clip(corners.astype(np.float64).reshape(2, 2), 0.0, 1.0)
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, LEAST_SIDE / 2)
    middle = np.clip(middle, half, 1.0 - half)
    (x0, y0), (x1, y1) = np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)
    return Box(float(x0), float(y0), float(x1), float(y1))


def _run(session: onnxruntime.InferenceSession, batch: NDArray[np.float32]) -> NDArray[np.float32]:
    (result,) = session.run(None, {session.get_inputs()[0].name: batch})
    return np.asarray(result, dtype=np.float32)


def _session(
    onnx: bytes, what: str, device: str, threads: int | None
) -> onnxruntime.InferenceSession:
    import onnxruntime

    if device not in DEVICES:
        raise FlukeprintError(f"no device {device!r}; choose one of {', '.join(DEVICES)}")
    there = onnxruntime.get_available_providers()
    if device == "cuda" and "CUDAExecutionProvider" not in there:
        raise FlukeprintError(
            "no CUDA here: this ONNX Runtime has no GPU support or there is no GPU; "
            "use --device cpu, or install onnxruntime-gpu"
        )
    wanted = ["CUDAExecutionProvider"] if device != "cpu" else []
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            onnx, options, providers=[p for p in wanted if p in there] + ["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime raises its own unexported types
        reason = " ".join(str(error).split())[:200]
        raise FlukeprintError(f"the model's {what} is not a network that runs: {reason}") from None
    if len(session.get_inputs()) != 1 or len(session.get_outputs()) != 1:
        raise FlukeprintError(f"the model's {what} must have one input and one output")
    return session
