"""A collection of drawn whales and a training run, both small enough for a test."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from flukeprint.drawn import draw_whale, photograph

SOURCE = Path(__file__).parents[2] / "src"
EPOCHS = 4
SETTINGS = [
    "backbone=test_resnet",
    "embedding_size=16",
    "height_px=24",
    "width_px=32",
    "early_height_px=24",
    "early_width_px=24",
    "early_share=0.5",
    f"epochs={EPOCHS}",
    "batch_size=8",
    "learning_rate=0.02",
    "warmup_share=0.1",
    "drawn_whales=2",
    "drawn_photos=2",
    "localiser_steps=4",
    "validate_every=2",
]
BRIEF = [*SETTINGS, "epochs=1", "validate_every=1", "early_share=0"]


def write_whales(folder: Path, *, whales: int = 10, photos: int = 4, unidentified: int = 0) -> Path:
    """A folder with a subfolder of small drawn photos per whale, and some ``new_whale``."""
    for seed in range(whales + unidentified):
        known = seed < whales
        home = folder / (f"whale_{seed:02d}" if known else "new_whale")
        home.mkdir(parents=True, exist_ok=True)
        for shot in range(photos if known else 1):
            shown = photograph(draw_whale(1_000 + seed), shot, width_px=96, height_px=54)
            Image.fromarray(shown.pixels).save(home / f"{seed:02d}_{shot}.png")
    return folder


@dataclass
class Attempt:
    """How one training process ended: 0, 2 for a FlukeprintError, or minus a signal."""

    code: int
    lines: list[str]


class Nursery:
    """Runs ``train`` in processes of its own; see nursery.py."""

    def __init__(self) -> None:
        paths = [str(SOURCE), *filter(None, [os.environ.get("PYTHONPATH")])]
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("nursery.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)},
        )

    def start(self, data: Path, out: Path, settings: list[str], moment: int = 0) -> int:
        """Begin a run and return its process id."""
        asked = {"data": str(data), "out": str(out), "settings": settings, "moment": moment}
        Path(f"{out}.lines").unlink(missing_ok=True)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return self._answer("pid")

    def end(self, out: Path) -> Attempt:
        """Wait for the run begun last."""
        code = self._answer("ended")
        lines = Path(f"{out}.lines")
        return Attempt(code, lines.read_text().splitlines() if lines.exists() else [])

    def train(self, data: Path, out: Path, settings: list[str], moment: int = 0) -> Attempt:
        """Run to the end, or to the file operation numbered ``moment``."""
        self.start(data, out, settings, moment)
        return self.end(out)

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _answer(self, word: str) -> int:
        assert self._process.stdout is not None
        found = self._process.stdout.readline().split()
        assert found[:1] == [word], f"the nursery has died; it said {found}"
        return int(found[1])
