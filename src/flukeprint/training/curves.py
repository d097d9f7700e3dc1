"""A run's log: JSON Lines, TensorBoard events and PNG curves."""

from __future__ import annotations

import json
from typing import Any

from flukeprint.errors import FlukeprintError
from flukeprint.files import write_bytes, write_text
from flukeprint.plotting import SEA, png_of
from flukeprint.training.runfolder import RunFolder

_PLOTTED = (
    ("loss", "training loss"),
    ("map5", "MAP@5, validation"),
    ("top1_known", "top-1 on known whales, validation"),
    ("auroc_known", "AUROC known against new, validation"),
)


def log_epoch(folder: RunFolder, entry: dict[str, Any]) -> None:
    """Add one epoch to the logs and redraw the curves.

    An epoch that is there already (the run was killed after logging it) is replaced.
    """
    entries = [old for old in read_log(folder) if old["epoch"] < entry["epoch"]] + [entry]
    write_text(folder.log, "".join(json.dumps(line) + "\n" for line in entries))
    _tensorboard(folder, entry)
    _draw(folder, entries)


def read_log(folder: RunFolder) -> list[dict[str, Any]]:
    """All epochs logged so far.

    Raises:
        FlukeprintError: the log is damaged.
    """
    if not folder.log.exists():
        return []
    try:
        entries = [json.loads(one) for one in folder.log.read_text(encoding="utf-8").splitlines()]
        return sorted(entries, key=lambda entry: int(entry["epoch"]))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise FlukeprintError(
            f"{folder.log}: damaged; delete it, and the run goes on without: {error}"
        ) from None


def _tensorboard(folder: RunFolder, entry: dict[str, Any]) -> None:
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder.path / "tensorboard")) as writer:
        for key, value in entry.items():
            if key != "epoch":
                writer.add_scalar(key, value, entry["epoch"])


def _draw(folder: RunFolder, entries: list[dict[str, Any]]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 6), dpi=110, layout="constrained")
    for axes, (key, title) in zip(figure.subplots(2, 2).ravel(), _PLOTTED, strict=True):
        points = [(entry["epoch"], entry[key]) for entry in entries if key in entry]
        if points:
            axes.plot(*zip(*points, strict=True), color=SEA, marker="o", markersize=3)
            axes.annotate(
                f"{points[-1][1]:.3f}", points[-1], textcoords="offset points", xytext=(4, 4)
            )
        axes.set_title(title, loc="left", fontsize=10)
        axes.set_xlabel("epoch")
        axes.spines[["top", "right"]].set_visible(False)
    write_bytes(folder.path / "curves.png", png_of(figure))
