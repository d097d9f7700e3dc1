"""Run a model's networks with ONNX Runtime: pixels in, flukes and embeddings out."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from flukeprint.crops import crop, planes, squashed
from flukeprint.errors import FlukeprintError, reason_of
from flukeprint.localise import NUMBERS, fluke_of
from flukeprint.model import Model
from flukeprint.records import WHOLE, Fluke

if TYPE_CHECKING:
    import onnxruntime

DEVICES = ("auto", "cpu", "cuda")
# An external_data entry's key, in any encoding that protobuf reads: ONNX Runtime would follow it
# to a file beside the working directory.
EXTERNAL_DATA = re.compile(rb"(?:\x0a|\x8a\x80*\x00)(?:\x08|\x88\x80*\x00)location")


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
        if device == "cuda" and self.device != "cuda":
            raise FlukeprintError("CUDA did not start on this machine; use --device cpu")

    def squash(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A photo as the localiser sees it: a grey square of its own size, (side, side) uint8.

        The photo is (height, width) or (height, width, 3) uint8. 1 x 1 where the model has no
        localiser.
        """
        side = self.model.manifest.localiser_px if self._localiser else 1
        return squashed(pixels, side)

    def locate(self, squashed: Sequence[NDArray[np.uint8]]) -> list[Fluke]:
        """Find the fluke in each of N squashed photos (see :meth:`squash`).

        Without a localiser every photo is a fluke from edge to edge.
        """
        if self._localiser is None:
            return [Fluke(WHOLE)] * len(squashed)
        batch = np.stack(squashed)[:, None].astype(np.float32)
        return [
            fluke_of(places) for places in _run(self._localiser, "localiser", batch, NUMBERS, 3)
        ]

    def cut(self, pixels: NDArray[np.uint8], fluke: Fluke) -> NDArray[np.uint8]:
        """The crop that the embedder sees of one photo, in grey or in colour as the photo is.

        (height_px, width_px) or (height_px, width_px, 3) uint8.
        """
        manifest = self.model.manifest
        size = manifest.height_px, manifest.width_px
        return crop(pixels, fluke, *size, margin=manifest.margin)

    def embed(self, crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """N crops (see :meth:`cut`) to (N, embedding_size) float32: unit vectors, or logits.

        The embedder is fed (N, channels, height_px, width_px) float32, 0 to 255.
        """
        batch = np.stack([planes(cut) for cut in crops]).astype(np.float32, order="C")
        return _run(self._embedder, "embedder", batch, self.model.manifest.embedding_size)


def available_cores() -> int:
    """How many cores this process may use; a container may have fewer than the machine."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _run(
    session: onnxruntime.InferenceSession,
    what: str,
    batch: NDArray[np.float32],
    size: int,
    dimensions: int = 2,
) -> NDArray[np.float32]:
    """A network's answer to a batch, checked: one row a picture, ``size`` numbers at the end."""
    try:
        (result,) = session.run(None, {session.get_inputs()[0].name: batch})
    except Exception as error:  # ONNX Runtime raises its own unexported types
        raise FlukeprintError(f"the model's {what} does not run: {reason_of(error)}") from None
    found = np.asarray(result, dtype=np.float32)
    shape = found.shape[:1] + found.shape[-1:]
    if shape != (len(batch), size) or found.ndim != dimensions or not found.size:
        raise FlukeprintError(
            f"the model's {what} gives {found.shape}, not {len(batch)} answers of {size} numbers; "
            "export it again"
        )
    return found


def quiet_runtime() -> ModuleType:
    """ONNX Runtime, kept from telling its maker of each run.

    Since 1.29 its Linux and macOS builds make a device id and call home unless this variable is set
    before the import; on Windows the call below is the switch. Whales' whereabouts stay here.
    """
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    module: ModuleType = onnxruntime
    return module


def _session(
    onnx: bytes, what: str, device: str, threads: int | None
) -> onnxruntime.InferenceSession:
    if device not in DEVICES:
        raise FlukeprintError(f"no device {device!r}; choose one of {', '.join(DEVICES)}")
    onnxruntime = quiet_runtime()
    there = onnxruntime.get_available_providers()
    if device == "cuda" and "CUDAExecutionProvider" not in there:
        raise FlukeprintError(
            "no CUDA here: this ONNX Runtime has no GPU support or there is no GPU; "
            "use --device cpu, or install onnxruntime-gpu"
        )
    if EXTERNAL_DATA.search(onnx):
        raise FlukeprintError(f"the model's {what} keeps data in other files; export it whole")
    wanted = ["CUDAExecutionProvider"] if device != "cpu" else []
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or available_cores()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            onnx, options, providers=[p for p in wanted if p in there] + ["CPUExecutionProvider"]
        )
    except Exception as error:  # ONNX Runtime raises its own unexported types
        raise FlukeprintError(
            f"the model's {what} is not a network that runs: {reason_of(error)}"
        ) from None
    if len(session.get_inputs()) != 1 or len(session.get_outputs()) != 1:
        raise FlukeprintError(f"the model's {what} must have one input and one output")
    return session
