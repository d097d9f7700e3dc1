"""The training command: a labelled collection in, a run folder with validated weights out."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors

from flukeprint.errors import FlukeprintError
from flukeprint.files import write_bytes
from flukeprint.identify import Progress, no_progress
from flukeprint.records import NEW_WHALE, Failure, Split, Table
from flukeprint.splits import make_splits, write_split
from flukeprint.tables import fingerprint, read_table
from flukeprint.training.config import TrainConfig, config_text
from flukeprint.training.data import (
    BoxedPhotos,
    crops_of,
    drawn_boxes,
    drawn_samples,
    hand_boxes,
    labels_of,
    rows_of,
    samples_of,
)
from flukeprint.training.device import Device, find_device
from flukeprint.training.localiser import BoxNet, fit_localiser
from flukeprint.training.loop import Lesson, Trainer, fit
from flukeprint.training.runfolder import RunFolder, environment
from flukeprint.training.validate import Validation
from flukeprint.twins import glance_all, twin_groups

BOXES = "boxes.csv"


@dataclass(frozen=True, slots=True)
class Collection:
    """A labelled collection ready to be split: ``twin_group`` holds the photos that can be read."""

    table: Table
    twin_group: dict[str, int]
    hashes: dict[str, str]
    failures: tuple[Failure, ...]


def read_collection(data: Path, progress: Progress = no_progress) -> Collection:
    """Read a labelled collection and find its twins."""
    table = read_table(data)
    paths = {row.name: row.path for row in table.rows}
    seen = glance_all(list(paths.values()), progress("reading", len(paths)))
    good = [(name, g) for name, g in zip(paths, seen, strict=True) if not isinstance(g, Failure)]
    group = twin_groups([g for _, g in good])
    return Collection(
        table,
        {name: int(number) for (name, _), number in zip(good, group, strict=True)},
        {name: g.sha256 for name, g in good},
        tuple(g for g in seen if isinstance(g, Failure)),
    )


def train(
    data: Path,
    out: Path,
    config: TrainConfig,
    *,
    device: str = "auto",
    progress: Progress = no_progress,
    report: Callable[[str], object] = lambda line: None,
) -> dict[str, Any]:
    """Train on a labelled collection into the folder ``out``; a run that was cut is resumed.

    Returns the best epoch's validation scores and calibration, as ``out/result.json`` holds them.

    Raises:
        FlukeprintError: the data, the config or the folder is not fit for it.
    """
    chosen = find_device(device)
    folder = RunFolder(out)
    table = read_table(data)
    folder.open(config_text(config), _facts(data, table, config, chosen))
    collection = read_collection(data, progress)
    outer, inner = split_for_training(collection, config)
    write_split(outer, folder.split)
    write_split(inner, folder.inner_split)
    localiser = _localiser(data, collection.table, inner, config, folder, progress)
    lesson, validation = _lesson(collection, inner, config, localiser, progress)
    report(
        f"{len(lesson.labels)} pictures of {lesson.individuals} whales to learn from, "
        f"{len(validation.query_labels)} queries to validate, {len(outer.queries)} kept for the end"
    )
    return fit(Trainer(lesson, config, chosen), validation, folder, report)


def split_for_training(collection: Collection, config: TrainConfig) -> tuple[Split, Split]:
    """The outer split, whose queries nobody sees, and the split of its gallery for validation."""
    (outer,) = make_splits(
        collection.table,
        collection.twin_group,
        "open-set",
        seed=config.seed,
        queries=config.query_share,
    )
    side = set(outer.gallery)
    inside = Table(
        collection.table.source, tuple(r for r in collection.table.rows if r.name in side)
    )
    (inner,) = make_splits(
        inside,
        collection.twin_group,
        "open-set",
        seed=config.seed,
        queries=config.validation_share,
    )
    return outer, inner


def load_localiser(folder: RunFolder) -> BoxNet | None:
    """The run's fluke finder, if it has one."""
    if not folder.localiser.exists():
        return None
    network = BoxNet()
    network.load_state_dict(from_safetensors(folder.localiser.read_bytes()))
    return network.eval()


def _localiser(
    data: Path,
    table: Table,
    inner: Split,
    config: TrainConfig,
    folder: RunFolder,
    progress: Progress,
) -> BoxNet | None:
    if not config.localise:
        return None
    found = load_localiser(folder)
    if found is not None:
        return found
    boxed = drawn_boxes(config)
    listing = (data if data.is_dir() else data.parent) / BOXES
    if listing.is_file():
        by_hand = hand_boxes(listing, table, inner.train)
        boxed = BoxedPhotos(
            torch.cat([by_hand.photos, boxed.photos]), torch.cat([by_hand.boxes, boxed.boxes])
        )
    if not len(boxed.photos):
        raise FlukeprintError(
            f"{listing}: no fluke boxes to learn from; bring some, draw whales with "
            "--set drawn_whales=300, or train on whole photos with --set localise=false"
        )
    steps = config.localiser_steps
    network = fit_localiser(
        boxed.photos,
        boxed.boxes,
        steps=steps,
        seed=config.seed,
        progress=progress("finding flukes", steps),
    )
    write_bytes(folder.localiser, to_safetensors(network.state_dict()))
    return network


def _lesson(
    collection: Collection,
    inner: Split,
    config: TrainConfig,
    localiser: BoxNet | None,
    progress: Progress,
) -> tuple[Lesson, Validation]:
    table = collection.table
    samples = samples_of(inner.train, table, collection.twin_group, config)
    samples += drawn_samples(config)
    labels, individuals = labels_of(samples)
    crops = crops_of(samples, localiser, config, progress("cutting", len(samples)))
    gallery, asked = rows_of(inner.gallery, table), rows_of(inner.queries, table)
    validation = Validation(
        crops_of(gallery, localiser, config, progress("cutting", len(gallery))),
        tuple(sample.individual for sample in gallery),
        crops_of(asked, localiser, config, progress("cutting", len(asked))),
        tuple(sample.individual for sample in asked),
    )
    return Lesson(crops, labels, individuals), validation


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
        "command": _command(data, config),
        "environment": environment(),
    }


def _command(data: Path, config: TrainConfig) -> str:
    plain = asdict(TrainConfig())
    changed = {key: value for key, value in asdict(config).items() if value != plain[key]}
    settings = "".join(f" --set {shlex.quote(f'{key}={value}')}" for key, value in changed.items())
    return f"flukeprint train {shlex.quote(data.name)} --out RUN{settings}"
