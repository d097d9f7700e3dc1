"""The training command: a labelled collection in, a run folder with validated weights out."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from flukeprint.collection import Collection, read_collection
from flukeprint.errors import FlukeprintError
from flukeprint.files import check_outside
from flukeprint.progress import Progress, no_progress
from flukeprint.records import NEW_WHALE, Split, Table
from flukeprint.splits import read_split, write_split
from flukeprint.tables import fingerprint, read_table
from flukeprint.training.backbones import make_backbone
from flukeprint.training.checkpoint import load_checkpoint
from flukeprint.training.config import TrainConfig, config_text, setting_text, with_places
from flukeprint.training.device import Device, find_device
from flukeprint.training.finder import check_localiser, find_flukes, read_finder
from flukeprint.training.learned import keep_seen, seen_before
from flukeprint.training.lesson import lesson_of
from flukeprint.training.loop import Trainer, fit
from flukeprint.training.networks import Network
from flukeprint.training.pretrained import fetch_pretrained, load_backbone, read_state
from flukeprint.training.runfolder import RunFolder, environment
from flukeprint.training.sides import part_of, split_for_training
from flukeprint.training.taught import taught_photos
from flukeprint.training.transfer import hold_still

PRETRAINED = "--pretrained"


def train(
    data: Path,
    out: Path,
    config: TrainConfig,
    *,
    device: str = "auto",
    progress: Progress = no_progress,
    report: Callable[[str], object] = lambda line: None,
    collection: Collection | None = None,
    finder: Path | None = None,
) -> dict[str, Any]:
    """Train on a labelled collection into the folder ``out``; a run that was cut is resumed.

    Published weights to begin with are read, or fetched, before the run begins. ``collection`` is
    what ``data`` holds, where that has been read already. ``finder`` is another run's
    ``localiser.safetensors``, of the same split, to be taken over in place of training one.

    Returns the best epoch's validation scores, as ``out/result.json`` holds them; of protocol
    "everything" the last epoch, without any.

    Raises:
        FlukeprintError: the data, the config, the folder or the finder is not fit for it.
    """
    chosen, config = find_device(device), with_places(config)
    if finder is not None and not config.localise:
        raise FlukeprintError(f"{finder}: this run trains on whole photos (localise=false)")
    given = None if finder is None else read_finder(finder)
    check_backbone(config)
    check_outside(out, data)
    folder = RunFolder(out)
    table = read_table(data)
    facts = _facts(data, table, config, chosen)
    folder.check(config_text(config), facts)  # before minutes of reading photos
    start = _published(config, folder, report)
    if collection is None:
        collection = read_collection(data, progress)
    for failure in collection.failures:
        report(failure.warning())
    outer, inner = split_for_training(collection, config)
    collection = part_of(collection, config)
    with folder.locked():
        folder.open(config_text(config), facts)
        _keep_split(outer, folder.split)
        _keep_split(inner, folder.inner_split)
        before = seen_before(config.weights, collection, outer)
        if finder is not None:
            before |= seen_before(str(finder), collection, outer)
        taught = taught_photos(collection, outer, inner, config, folder, progress)
        if taught:
            names = [one.individual for one in taught if one.individual]
            unnamed = f", {len(taught) - len(names)} of nobody" if len(taught) > len(names) else ""
            report(f"{len(names)} unlabelled photos of {len(set(names))} whales join in{unnamed}")
        keep_seen(folder, collection, outer, taught, before)
        localiser = find_flukes(data, collection.table, inner, config, folder, progress, given)
        if localiser is not None:
            report(check_localiser(localiser, data, collection, inner))
        lesson, validation = lesson_of(collection, inner, taught, config, localiser, progress)
        report(
            f"{len(lesson.labels)} pictures of {len(lesson.individuals)} whales to learn from, "
            f"{len(inner.queries)} queries to validate, {len(outer.queries)} for the end"
        )
        trainer = Trainer(lesson, config, chosen, start, config.weights or PRETRAINED)
        return fit(trainer, validation, folder, report, progress)


def check_backbone(config: TrainConfig) -> None:
    """Try the network on two blank crops of each size, before any photo is read.

    Raises:
        FlukeprintError: the backbone is unknown, or not one for crops of these sizes.
    """
    hold_still(Network(config, 2).eval(), config)
    early = replace(
        config, height_px=config.early_height_px, width_px=config.early_width_px, early_share=0.0
    )
    if config.early_share:
        Network(early, 2)


def _published(
    config: TrainConfig, folder: RunFolder, report: Callable[[str], object]
) -> dict[str, Tensor] | None:
    """The weights that the backbone begins with, if the config wants any; they are tried on it.

    A run that goes on has its own.
    """
    if not config.weights and not config.pretrained:
        return None
    if load_checkpoint(folder.checkpoints)[1] is not None:
        return None
    source = config.weights or PRETRAINED
    state = read_state(Path(source)) if config.weights else fetch_pretrained(config.backbone)
    unused = load_backbone(make_backbone(config.backbone, config.channels), state, source)
    left = f"; {len(unused)} parts of it left out, such as {unused[0]}" if unused else ""
    report(f"{source}: the backbone begins with these weights{left}")
    return state


def _keep_split(split: Split, path: Path) -> None:
    """Write a split, or make sure that a resumed run has the same."""
    if not path.exists():
        write_split(split, path)
    elif read_split(path) != split:
        raise FlukeprintError(
            f"{path}: photos have changed or can no longer be read since this run began; "
            "put them back or start another run"
        )


def _facts(data: Path, table: Table, config: TrainConfig, device: Device) -> dict[str, Any]:
    return {
        "data": str(data.resolve()),
        "fingerprint": fingerprint(table),
        "photos": len(table.rows),
        "individuals": len(table.individuals),
        "labelled_new_whale": sum(row.individual == NEW_WHALE for row in table.rows),
        "seed": config.seed,
        "device": device.name,
        "bf16": device.bf16,
        "threads": torch.get_num_threads(),
        "weights_sha256": _sha256_of(config.weights),
        "teacher_sha256": _sha256_of(config.teacher),
        "command": _command(data, config),
        "environment": environment(),
    }


def _sha256_of(file: str) -> str:
    path = Path(file)
    return hashlib.sha256(path.read_bytes()).hexdigest() if file and path.is_file() else ""


def _command(data: Path, config: TrainConfig) -> str:
    plain = asdict(TrainConfig())
    changed = {key: value for key, value in asdict(config).items() if value != plain[key]}
    for setting in ("weights", "teacher", "unlabelled"):
        if changed.get(setting):
            changed[setting] = Path(changed[setting]).name  # where it lies is nobody's business
    settings = "".join(
        f" --set {shlex.quote(f'{key}={setting_text(value)}')}" for key, value in changed.items()
    )
    return f"flukeprint train {shlex.quote(data.name)} --out RUN{settings}"
