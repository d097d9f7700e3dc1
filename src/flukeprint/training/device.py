"""Where to train: CUDA, MPS or the CPU, and in which precision."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch

from flukeprint.errors import FlukeprintError


@dataclass(frozen=True, slots=True)
class Device:
    """A device's name and whether bfloat16 is faster there than float32."""

    name: str
    bf16: bool

    def autocast(self) -> AbstractContextManager[None]:
        """Run what follows in bfloat16 where that is faster."""
        kind = self.name.split(":")[0]
        context: AbstractContextManager[None] = torch.autocast(
            kind, torch.bfloat16, enabled=self.bf16
        )
        return context


def find_device(wanted: str = "auto") -> Device:
    """The named device, or the best there is.

    Raises:
        FlukeprintError: it is not there.
    """
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    name = next(kind for kind, ok in there.items() if ok) if wanted == "auto" else wanted
    if not there.get(name, False):
        have = ", ".join(kind for kind, ok in there.items() if ok)
        raise FlukeprintError(f"no device {wanted!r} here; there is {have} (or auto)")
    return Device(name, _FAST_BF16[name]())


def _cuda_bf16() -> bool:
    """Whether the GPU computes in bfloat16 itself; older ones emulate it, slowly."""
    return bool(torch.cuda.is_bf16_supported(including_emulation=False))


def _cpu_bf16() -> bool:
    """Whether the CPU has the instructions; without them bfloat16 is several times slower."""
    check = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # not in every torch
    return bool(check and check())


_FAST_BF16 = {"cuda": _cuda_bf16, "mps": lambda: False, "cpu": _cpu_bf16}
