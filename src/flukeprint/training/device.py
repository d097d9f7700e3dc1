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
        raise FlukeprintError(f"no device {wanted!r} here; there is {have}")
    bf16 = {
        "cuda": lambda: bool(torch.cuda.is_bf16_supported()),  # type: ignore[no-untyped-call]
        "mps": lambda: False,
        # Without these instructions bfloat16 is emulated, and several times slower.
        "cpu": lambda: bool(torch.cpu._is_avx512_bf16_supported()),
    }
    return Device(name, bf16[name]())
