"""The training command: a labelled collection in, a run folder with validated weights out."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor

from flukeprint.collection import Collection, read_collection
from flukeprint.errors import FlukeprintError
from flukeprint.files import write_bytes
from flukeprint.progress import Progress, no_progress
from flukeprint.records import NEW_WHALE, Split, Table
from flukeprint.splits import half_of, make_splits, random_split, read_split, write_split
from flukeprint.tables import fingerprint, read_table
from flukeprint.training.backbones import make_backbone
from flukeprint.training.checkpoint import load_checkpoint
from flukeprint.training.config import TrainConfig, config_text, setting_text
from flukeprint.training.copies import grey_copies, offline_copies
from flukeprint.training.data import (
    INNER,
    BoxedPhotos,
    crops_of,
    drawn_boxes,
    drawn_samples,
    hand_boxes,
    labels_of,
    mean_overlap,
    rows_of,
    samples_of,
)
from flukeprint.training.device import Device, find_device
from flukeprint.training.localiser import BoxNet, fit_localiser
from flukeprint.training.loop import Lesson, Trainer, fit
from flukeprint.training.networks import Network
from flukeprint.training.pretrained import fetch_pretrained, load_backbone, read_state
from flukeprint.training.runfolder import RunFolder, environment
from flukeprint.training.transfer import hold_still
from flukeprint.training.validate import Validation

BOXES = "boxes.csv"
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
) -> dict[str, Any]:
    """Train on a labelled collection into the folder ``out``; a run that was cut is resumed.

    Published weights to begin with are read, or fetched, before the run begins. ``collection`` is
    what ``data`` holds, where that has been read already.

    Returns the best epoch's validation scores, as ``out/result.json`` holds them.

    Raises:
        FlukeprintError: the data, the config or the folder is not fit for it.
    """
    chosen = find_device(device)
    check_backbone(config)
    folder = RunFolder(out)
    table = read_table(data)
    facts = _facts(data, table, config, chosen)
    folder.check(config_text(config), facts)  # before minutes of reading photos
    begun = load_checkpoint(folder.checkpoints)[1] is not None
    start = None if begun else _published(config, report)
    if collection is None:
        collection = read_collection(data, progress)
    for failure in collection.failures:
        report(f"warning: {failure.path}: {failure.reason}; left out")
    outer, inner = split_for_training(collection, config)
    collection = part_of(collection, config)
    with folder.locked():
        folder.open(config_text(config), facts)
        _keep_split(outer, folder.split)
        _keep_split(inner, folder.inner_split)
        localiser = _localiser(data, collection.table, inner, config, folder, progress)
        if localiser is not None:
            report(check_localiser(localiser, data, collection.table, inner))
        lesson, validation = _lesson(collection, inner, config, localiser, progress)
        report(
            f"{len(lesson.labels)} pictures of {len(lesson.individuals)} whales to learn from, "
            f"{len(validation.query_labels)} queries to validate, {len(outer.queries)} for the end"
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


def _published(config: TrainConfig, report: Callable[[str], object]) -> dict[str, Tensor] | None:
    """The weights that the backbone begins with, if the config wants any; they are tried on it."""
    if not config.weights and not config.pretrained:
        return None
    source = config.weights or PRETRAINED
    state = read_state(Path(source)) if config.weights else fetch_pretrained(config.backbone)
    unused = load_backbone(make_backbone(config.backbone, config.channels), state, source)
    left = f"; {len(unused)} parts of it left out, such as {unused[0]}" if unused else ""
    report(f"{source}: the backbone begins with these weights{left}")
    return state


def part_of(collection: Collection, config: TrainConfig) -> Collection:
    """The collection, or the half of its whales that a run is about."""
    if config.whales == "all":
        return collection
    table = half_of(
        collection.table,
        collection.twin_group,
        second=config.whales == "second-half",
        seed=config.seed,
    )
    there = {row.name for row in table.rows}
    return replace(
        collection,
        table=table,
        twin_group={name: group for name, group in collection.twin_group.items() if name in there},
    )


def split_for_training(collection: Collection, config: TrainConfig) -> tuple[Split, Split]:
    """The outer split, whose queries nobody sees, and the split of its gallery for validation.

    Raises:
        FlukeprintError: there are too few photos for both.
    """
    part = part_of(collection, config)
    outer = _split(part.table, part, config, config.query_share)
    side = set(outer.gallery)
    rows = tuple(row for row in part.table.rows if row.name in side)
    inside = Table(part.table.source, rows)
    try:
        inner = _split(inside, part, config, config.validation_share, validating=True)
    except FlukeprintError as error:
        raise FlukeprintError(
            f"{collection.table.source}: {len(outer.queries)} photos are kept for the end, and the "
            f"other {len(side)} are too few to validate with while training: {error}"
        ) from None
    return replace(outer, fingerprint=fingerprint(collection.table)), inner


def _split(
    table: Table,
    collection: Collection,
    config: TrainConfig,
    queries: float,
    *,
    validating: bool = False,
) -> Split:
    """Split a table as the config's protocol does.

    A fold validates on a closed set, so that every whale with two photos or more is trained on.
    """
    if config.protocol == "random":
        readable = [row.name for row in table.rows if row.name in collection.twin_group]
        return random_split(table, readable, seed=config.seed, queries=queries)
    protocol = "closed-set" if config.protocol == "kfold" and validating else config.protocol
    made = make_splits(
        table,
        collection.twin_group,
        protocol,
        seed=config.seed,
        queries=queries,
        folds=config.folds,
    )
    return made[config.fold if protocol == "kfold" else 0]


def _keep_split(split: Split, path: Path) -> None:
    """Write a split, or make sure that a resumed run has the same."""
    if not path.exists():
        write_split(split, path)
    elif read_split(path) != split:
        raise FlukeprintError(
            f"{path}: photos have changed or can no longer be read since this run began; "
            "put them back or start another run"
        )


def load_localiser(folder: RunFolder) -> BoxNet | None:
    """The run's fluke finder, if it has one.

    Raises:
        FlukeprintError: its file is damaged.
    """
    if not folder.localiser.exists():
        return None
    network = BoxNet()
    try:
        network.load_state_dict(from_safetensors(folder.localiser.read_bytes()))
    except Exception as error:  # safetensors and torch raise their own kinds
        reason = " ".join(str(error).split())[:120]
        raise FlukeprintError(
            f"{folder.localiser}: damaged; delete it and run the training again: {reason}"
        ) from None
    return network.eval()


def _boxes_of(data: Path) -> Path:
    return (data if data.is_dir() else data.parent) / BOXES


def check_localiser(localiser: BoxNet, data: Path, table: Table, inner: Split) -> str:
    """How well it finds the flukes that were boxed by hand on photos it did not learn from."""
    listing, trained = _boxes_of(data), set(inner.train)
    if not listing.is_file():
        return "flukes: no boxes drawn by hand to check against"
    boxed = hand_boxes(listing, table, [r.name for r in table.rows if r.name not in trained])
    return (
        f"flukes: mean overlap {mean_overlap(localiser, boxed):.3f} with {len(boxed.photos)} "
        "boxes drawn by hand on photos kept from training"
    )


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
    listing = _boxes_of(data)
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
    # Safetensors takes plain layouts only; and a resumed run must cut the very same crops as this
    # one, so both use what was read back.
    weights = {name: tensor.contiguous() for name, tensor in network.state_dict().items()}
    write_bytes(folder.localiser, to_safetensors(weights))
    return load_localiser(folder)


def _lesson(
    collection: Collection,
    inner: Split,
    config: TrainConfig,
    localiser: BoxNet | None,
    progress: Progress,
) -> tuple[Lesson, Validation]:
    table = collection.table
    samples = samples_of(inner.train, table, collection.twin_group, config)
    if config.loss != "softmax":  # a classifier would offer drawn whales as answers
        samples += drawn_samples(config)
    if len(samples) < 2:
        raise FlukeprintError(
            f"{table.source}: {len(samples)} photo is left to learn from; bring more, or draw "
            "whales with --set drawn_whales=300"
        )
    labels, individuals = labels_of(samples)
    if len(individuals) < 2:
        raise FlukeprintError(f"{table.source}: only one whale is left to learn; bring more")
    counts = torch.bincount(labels, minlength=len(individuals))  # without copies of any kind
    crops = crops_of(samples, localiser, config, progress("cutting", len(samples)))
    if config.grey_copies:
        crops, labels = grey_copies(crops, labels)
    crops, labels = offline_copies(crops, labels, config, INNER)
    # A classifier knows its whales itself.
    gallery = [] if config.loss == "softmax" else rows_of(inner.gallery, table)
    asked = rows_of(inner.queries, table)
    validation = Validation(
        crops_of(gallery, localiser, config, progress("cutting", len(gallery))),
        tuple(sample.individual for sample in gallery),
        crops_of(asked, localiser, config, progress("cutting", len(asked))),
        tuple(sample.individual for sample in asked),
    )
    return Lesson(crops, labels, individuals, counts), validation


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
        "command": _command(data, config),
        "environment": environment(),
    }


def _sha256_of(weights: str) -> str:
    path = Path(weights)
    return hashlib.sha256(path.read_bytes()).hexdigest() if weights and path.is_file() else ""


def _command(data: Path, config: TrainConfig) -> str:
    plain = asdict(TrainConfig())
    changed = {key: value for key, value in asdict(config).items() if value != plain[key]}
    if config.weights:
        changed["weights"] = Path(config.weights).name  # where it lies here is nobody's business
    settings = "".join(
        f" --set {shlex.quote(f'{key}={setting_text(value)}')}" for key, value in changed.items()
    )
    return f"flukeprint train {shlex.quote(data.name)} --out RUN{settings}"
