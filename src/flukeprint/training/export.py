"""From a run to a model file that needs no torch."""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.torch import load as from_safetensors
from torch import Tensor, nn

from flukeprint.cache import Cache
from flukeprint.collection import Collection, read_collection
from flukeprint.errors import FlukeprintError, reason_of
from flukeprint.evaluate import Report
from flukeprint.files import check_outputs, read_json
from flukeprint.model import MANIFEST, Manifest, Model, load_model, make_model, save_model
from flukeprint.network import Network
from flukeprint.progress import Progress, no_progress
from flukeprint.records import EVERYTHING, Split
from flukeprint.scoring import embed_collection, score_protocols
from flukeprint.splits import read_split
from flukeprint.tables import fingerprint
from flukeprint.training.calibration import fit_calibration, true_quantiles
from flukeprint.training.cases import drawn_cases, real_cases, strange_cases
from flukeprint.training.config import TrainConfig, read_config
from flukeprint.training.data import SEEN_MARGIN, labels_of, samples_of
from flukeprint.training.finder import load_localiser
from flukeprint.training.learned import seen_by
from flukeprint.training.localiser import SIDE_PX
from flukeprint.training.networks import BothSides, Together
from flukeprint.training.networks import Network as TrainedNetwork
from flukeprint.training.runfolder import RunFolder
from flukeprint.training.sides import part_of

OPSET = 17
FLOAT16_MOST = 65_504.0
FACTS = ("fingerprint", "photos", "individuals", "seed", "command", "environment")
CROP = ("localise", "channels", "height_px", "width_px")
SCORES = ("epoch", "map5", "top1_known")
LICENCE = "Apache-2.0 (weights); see docs/models.md for the terms of the photos they learned from"
PREPROCESSING = (
    "photo upright, 0..255, grey where channels is 1, red, green and blue where it is 3; squashed "
    "to localiser_px square, grey, for the localiser; its box widened by margin on each side, "
    "resized bilinear to height_px x width_px, edges repeated outside"
)


def load_network(folder: RunFolder, config: TrainConfig, classes: int) -> TrainedNetwork:
    """The run's best weights, ready to answer.

    Raises:
        FlukeprintError: the run has none yet, or they do not fit its config.
    """
    network = TrainedNetwork(config, classes)
    try:
        network.load_state_dict(from_safetensors(folder.weights.read_bytes()))
    except OSError as error:
        raise FlukeprintError(
            f"{folder.weights}: {error.strerror}; has the run finished?"
        ) from None
    except Exception as error:  # safetensors and torch raise their own kinds
        raise FlukeprintError(
            f"{folder.weights}: not this run's weights: {reason_of(error)}"
        ) from None
    return network.eval()


def export(
    run: Path,
    out: Path,
    *,
    beside: Sequence[Path] = (),
    calibration: Path | None = None,
    progress: Progress = no_progress,
    collection: Collection | None = None,
) -> Model:
    """Write a run as one model file, its scores on its own split in it, and return it.

    ``beside`` are other runs on the same split and crops: their networks answer, too, and photos
    are as alike as they are to all networks on average. The first run's finder finds the flukes.
    ``collection`` is what the runs learned from, where that has been read already.

    A run of protocol "everything" kept no photo that could tell how sure its answers may be, or
    score it: it takes over the beliefs of ``calibration``, a model that was trained in the same way
    on less, and has no scores.

    Weights are stored as float16, half the size, and computed with as float32.

    Raises:
        FlukeprintError: a folder is not a finished run, the runs do not go together, or the file
            cannot be written, or is there and no model.
    """
    check_outputs({"--out": out}, (), holds={"--out": MANIFEST})  # before minutes of reading photos
    folder = RunFolder(run)
    facts, result = _facts_and_result(folder)
    config, split = read_config(folder.config, []), read_split(folder.split)
    inner = read_split(folder.inner_split)
    localiser = load_localiser(folder)
    twin = _twin(run, inner, calibration)
    collection = part_of(collection or _collection_of(facts, progress), config)
    if config.localise and localiser is None:
        raise FlukeprintError(f"{folder.localiser}: missing; run the training again to remake it")
    classes = _classes(inner, collection, config)
    training = {
        **{name: facts[name] for name in FACTS},
        "validation": {name: result[name] for name in SCORES if name in result},
    }
    others = [RunFolder(path) for path in beside]
    if others:
        training["beside"] = [_facts_beside(folder, other) for other in others]
    networks = [_answering(one, len(classes)) for one in (folder, *others)]
    answering = Together(networks) if others else networks[0]
    trained_on = set().union(*(seen_by(one) for one in (folder, *others)))
    manifest = replace(
        _manifest(config, split, classes, answering.outputs),
        localiser_px=SIDE_PX if localiser else 0,
        training=training,
        trained_on=tuple(sorted(trained_on)),
    )
    model = make_model(
        manifest,
        to_onnx(answering, (config.channels, config.height_px, config.width_px)),
        to_onnx(localiser, (1, SIDE_PX, SIDE_PX)) if localiser else None,
    )
    if twin is not None:
        calibrated = _believing(model.manifest, twin, calibration)
    else:
        drawn = bool(config.drawn_whales)
        calibrated = _calibrated(model, split, inner, collection, drawn=drawn, progress=progress)
    return save_model(calibrated, model.embedder, model.localiser, out)


def _twin(run: Path, inner: Split, path: Path | None) -> Model | None:
    """The model whose beliefs a run takes over; none where it has photos to fit its own to.

    Raises:
        FlukeprintError: a run has both, or neither, or the file is no model.
    """
    if inner.queries:
        if path is not None:
            raise FlukeprintError(
                f"{run}: kept photos to calibrate with; --calibration is for a run of protocol "
                f"{EVERYTHING}"
            )
        return None
    if path is None:
        raise FlukeprintError(
            f"{run}: learned from every photo and kept none to calibrate with; export it with "
            "--calibration MODEL, one trained by the same settings with another protocol"
        )
    return load_model(path)


def _believing(manifest: Manifest, twin: Model, path: Path | None) -> Manifest:
    """The manifest with its twin's beliefs, which rest on photos of their own.

    Raises:
        FlukeprintError: the twin, from ``path``, is of another kind, or sees other crops.
    """
    alike = ("kind", "channels", "height_px", "width_px", "margin", "localiser_px")
    odd = [name for name in alike if getattr(manifest, name) != getattr(twin.manifest, name)]
    if odd:
        raise FlukeprintError(
            f"{path}: its {odd[0]} is {getattr(twin.manifest, odd[0])!r}, the run's "
            f"{getattr(manifest, odd[0])!r}; name a model that was trained by the same settings"
        )
    return replace(
        manifest,
        calibration=twin.manifest.calibration,
        true_probabilities=twin.manifest.true_probabilities,
        new_share=twin.manifest.new_share,
        training=manifest.training | {"calibration_of": twin.id},
        trained_on=tuple(sorted({*manifest.trained_on, *twin.manifest.trained_on})),
    )


def _manifest(config: TrainConfig, split: Split, classes: tuple[str, ...], size: int) -> Manifest:
    """What a model file says of a network without a finder that has not been calibrated yet."""
    return Manifest(
        kind="softmax" if classes else "embedding",
        channels=config.channels,
        height_px=config.height_px,
        width_px=config.width_px,
        margin=SEEN_MARGIN,
        localiser_px=0,
        embedding_size=size,
        classes=classes,
        preprocessing=PREPROCESSING,
        calibration=fit_calibration([]).to_dict(),
        training={},
        split={
            "protocol": split.protocol,
            "seed": split.seed,
            "fold": split.fold,
            "whales": config.whales,
            "settings": split.settings,
        },
        licence=LICENCE,
    )


def _answering(folder: RunFolder, classes: int) -> TrainedNetwork | BothSides:
    config = read_config(folder.config, [])
    network = load_network(folder, config, classes)
    return BothSides(network) if config.both_sides else network


def _facts_beside(first: RunFolder, other: RunFolder) -> dict[str, Any]:
    """What the model file says of another run, whose network joins the first's.

    Raises:
        FlukeprintError: it does not go together with the first run.
    """
    facts, _ = _facts_and_result(other)
    config, plain = read_config(other.config, []), read_config(first.config, [])
    if "softmax" in (config.loss, plain.loss):
        raise FlukeprintError(f"{other.path}: classifiers cannot be joined; join runs that embed")
    splits = ((one.split, one.inner_split) for one in (first, other))
    mine, theirs = ([read_split(path) for path in paths] for paths in splits)
    if mine != theirs or any(getattr(config, name) != getattr(plain, name) for name in CROP):
        raise FlukeprintError(
            f"{other.path}: another split or other crops than {first.path}; join runs that differ "
            "in neither"
        )
    return {name: facts[name] for name in FACTS}


def _calibrated(
    model: Model,
    split: Split,
    inner: Split,
    collection: Collection,
    *,
    drawn: bool,
    progress: Progress,
) -> Manifest:
    """The model's manifest with beliefs fitted on the inner split's queries, and its scores.

    With ``drawn`` the fit serves drawn whales as well.
    """
    manifest, runtime = model.manifest, Network(model)
    classifies = manifest.kind == "softmax"  # it compares with no photo
    names = {*inner.queries, *split.queries} if classifies else None
    embedded = embed_collection(collection, runtime, Cache(None, model.id), progress, names)
    cases = real_cases(inner, embedded, manifest)
    cases += strange_cases(inner, embedded, collection.twin_group, manifest)
    if drawn and not classifies:
        cases += drawn_cases(runtime, progress)
    calibration = fit_calibration(cases, manifest.kind)
    reports = []
    if split.protocol != "random":  # twins on both sides: its scores would mislead
        reports = score_protocols(model, split, collection, embedded, calibration)
    return replace(
        manifest,
        calibration=calibration.to_dict(),
        true_probabilities=true_quantiles(cases[0], calibration),
        metrics=_metrics_of(reports),
    )


def _classes(inner: Split, collection: Collection, config: TrainConfig) -> tuple[str, ...]:
    """What a classifier's outputs stand for; nothing for a network that embeds."""
    if config.loss != "softmax":
        return ()
    samples = samples_of(inner.train, collection.table, collection.twin_group, config)
    return labels_of(samples)[1]


def _metrics_of(reports: Sequence[Report]) -> dict[str, Any]:
    """The model's own scores by protocol: value and 95 % interval."""
    return {
        report.protocol: report.summary()["metrics"]
        for report in reports
        if report.system == "flukeprint"
    }


def _facts_and_result(folder: RunFolder) -> tuple[dict[str, Any], dict[str, Any]]:
    """A finished run's ``run.json`` and ``result.json``."""
    if not folder.config.is_file():
        raise FlukeprintError(f"{folder.path}: not a training run; give the folder of --out")
    if not folder.result.is_file():
        raise FlukeprintError(
            f"{folder.path}: this run has not finished; give flukeprint train the same --out again"
        )
    facts, result = read_json(folder.facts), read_json(folder.result)
    validated = read_config(folder.config, []).protocol != EVERYTHING
    for path, found, needed in (
        (folder.facts, facts, (*FACTS, "data")),
        # No top-1 without a query of a known whale.
        (folder.result, result, SCORES[: 2 if validated else 1]),
    ):
        missing = [name for name in needed if name not in found]
        if missing:
            raise FlukeprintError(f"{path}: holds no {', '.join(missing)}; train the run again")
    return facts, result


def _collection_of(facts: dict[str, Any], progress: Progress) -> Collection:
    """The labelled photos that the run learned from."""
    collection = read_collection(Path(facts["data"]), progress)
    if fingerprint(collection.table) != facts["fingerprint"]:
        raise FlukeprintError(
            f"{facts['data']}: not as it was when the run learned from it: its labels have changed"
        )
    return collection


def to_onnx(network: nn.Module, shape: tuple[int, int, int]) -> bytes:
    """ONNX of a network that takes (N, *shape) float32, N free, its large weights as float16."""
    packed = io.BytesIO()
    example: Tensor = torch.zeros(2, *shape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            (example,),
            packed,  # type: ignore[arg-type]  # takes a stream, though its types say paths only
            input_names=["pixels"],
            output_names=["output"],
            dynamic_axes={"pixels": {0: "n"}, "output": {0: "n"}},
            opset_version=OPSET,
            dynamo=False,
        )
    graph = onnx.load_model_from_string(packed.getvalue())
    _halve(graph)
    onnx.checker.check_model(graph)
    return bytes(graph.SerializeToString())


def _halve(model: onnx.ModelProto, least: int = 1_024) -> None:
    """Store large float32 weights as float16 and cast them back where they are used.

    ONNX Runtime folds the casts away when it loads the model, so that running costs nothing.
    """
    graph = model.graph
    casts = []
    for weight in list(graph.initializer):
        values = numpy_helper.to_array(weight)
        if weight.data_type != TensorProto.FLOAT or values.size < least:
            continue
        if abs(values).max() > FLOAT16_MOST:
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(values.astype("float16"), f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        graph.node.insert(0, cast)
