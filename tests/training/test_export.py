"""Tests that the exported file says and does what the run does."""

import dataclasses
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("torch", reason="training needs torch")

import torch

pytest.importorskip("onnx", reason="export needs onnx")

from click.testing import CliRunner

from flukeprint.cli import cli
from flukeprint.collection import read_collection
from flukeprint.crops import crop
from flukeprint.decide import Calibration
from flukeprint.embed import embed_photos
from flukeprint.errors import FlukeprintError
from flukeprint.files import read_json
from flukeprint.identify import identify
from flukeprint.localise import CORNERS, NUMBERS
from flukeprint.model import Manifest, Model, load_model
from flukeprint.network import Network, quiet_runtime
from flukeprint.progress import no_progress
from flukeprint.records import NEW_WHALE, Fluke
from flukeprint.scoring import RUN_MODEL, evaluate_target
from flukeprint.splits import read_split
from flukeprint.tables import read_table
from flukeprint.training.config import TrainConfig, read_config
from flukeprint.training.data import (
    SEEN_MARGIN,
    Sample,
    crops_of,
    drawn_samples,
    load_pixels,
    locate,
)
from flukeprint.training.export import export, load_network, to_onnx
from flukeprint.training.finder import load_localiser
from flukeprint.training.lesson import lesson_of
from flukeprint.training.localiser import PLACES, SIDE_PX
from flukeprint.training.networks import BothSides
from flukeprint.training.networks import Network as TrainedNetwork
from flukeprint.training.runfolder import RunFolder
from tests.training.conftest import FinishedRun
from tests.training.small import SETTINGS, Nursery


@dataclasses.dataclass(frozen=True)
class Exported:
    """One run as torch has it and as ONNX Runtime runs it."""

    model: Model
    network: Network
    embedder: BothSides
    run: FinishedRun
    path: Path


@pytest.fixture(scope="module")
def exported(finished: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    path = tmp_path_factory.mktemp("model") / "small.fluke"
    model = export(finished.path, path)
    folder = RunFolder(finished.path)
    embedder = BothSides(load_network(folder, read_config(folder.config, []), 0))
    return Exported(model, Network(model, device="cpu", threads=1), embedder, finished, path)


def _cosines(one: NDArray[np.float32], two: NDArray[np.float32]) -> NDArray[np.float32]:
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1.0, atol=1e-4)
    return np.asarray((one * two).sum(axis=1), dtype=np.float32)


@pytest.mark.parametrize("count", [1, 3, 64])
def test_random_crops_embed_alike(count: int, exported: Exported) -> None:
    crops = np.random.default_rng(count).integers(0, 256, (count, 24, 32), dtype=np.uint8)
    found = exported.network.embed(list(crops))
    with torch.inference_mode():
        wanted = exported.embedder(torch.from_numpy(crops)[:, None].float()).numpy()
    assert found.shape == (count, 32)
    assert _cosines(found, wanted).min() >= 0.9999


def test_drawn_crops_embed_alike(exported: Exported) -> None:
    config = read_config(RunFolder(exported.run.path).config, [])
    crops = crops_of(drawn_samples(config), None, config)[:, :, :24, :32].float()
    with torch.inference_mode():
        wanted = exported.embedder(crops).numpy()
    found = exported.network.embed(list(crops[:, 0].to(torch.uint8).numpy()))
    assert _cosines(found, wanted).min() >= 0.9999


def _assert_alike(found: list[Fluke], wanted: list[Fluke]) -> None:
    assert len(found) == len(wanted)
    for one, two in zip(found, wanted, strict=True):
        assert dataclasses.astuple(one.box) == pytest.approx(dataclasses.astuple(two.box), abs=1e-3)
        assert (one.probability, one.slope) == pytest.approx((two.probability, two.slope), abs=1e-2)
        assert (one.upside_down, one.others) == (two.upside_down, two.others)


def test_flukes_are_found_alike(exported: Exported) -> None:
    localiser = load_localiser(RunFolder(exported.run.path))
    assert localiser is not None
    photos = list(np.random.default_rng(0).integers(0, 256, (9, SIDE_PX, SIDE_PX), dtype=np.uint8))
    _assert_alike(exported.network.locate(photos), locate(localiser, photos))
    drawn = [load_pixels(one, 3) for one in drawn_samples(TrainConfig(drawn_whales=3))]
    squashed = [exported.network.squash(pixels) for pixels in drawn]
    _assert_alike(exported.network.locate(squashed), locate(localiser, drawn))


def test_localisers_answer_alike(exported: Exported) -> None:
    """Each of a place's eight numbers, of photos and of what no photo is."""
    localiser = load_localiser(RunFolder(exported.run.path))
    assert localiser is not None and exported.model.localiser is not None
    session = quiet_runtime().InferenceSession(
        exported.model.localiser, providers=["CPUExecutionProvider"]
    )
    photos = torch.rand(5, 1, SIDE_PX, SIDE_PX, generator=torch.Generator().manual_seed(1)) * 255
    photos[0], photos[1] = 0.0, 255.0
    (found,) = session.run(None, {"pixels": photos.numpy()})
    with torch.inference_mode():
        wanted = localiser(photos).numpy()
    assert found.shape == (5, PLACES**2, NUMBERS)
    np.testing.assert_allclose(found, wanted, atol=1e-2)
    np.testing.assert_allclose(found[..., CORNERS], wanted[..., CORNERS], atol=1e-3)


def test_photo_files_embed_alike(exported: Exported) -> None:
    """The whole way: file, grey pixels, fluke, crop, embedding."""
    paths = sorted(exported.run.data.rglob("*.png"))[:12]
    found = embed_photos(paths, exported.network).embeddings.vectors
    localiser = load_localiser(RunFolder(exported.run.path))
    assert localiser is not None
    crops = []
    for path in paths:
        pixels = load_pixels(Sample(path.name, "", path=path))
        (fluke,) = locate(localiser, [pixels])
        crops.append(crop(pixels, fluke, 24, 32, margin=SEEN_MARGIN))
    with torch.inference_mode():
        batch = torch.from_numpy(np.stack(crops))[:, None].float()
        wanted = exported.embedder(batch).numpy()
    assert _cosines(found, wanted).min() > 0.999


def test_half_precision_halves_the_file() -> None:
    layers = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(1_024, 256, bias=False))
    stored = to_onnx(layers, (1, 32, 32))
    assert len(stored) < 1.1 * (2 * 1_024 * 256)


def test_weights_too_large_for_half_precision_stay_whole() -> None:
    linear = torch.nn.Linear(1_024, 4, bias=False)
    with torch.no_grad():
        linear.weight.fill_(1e5)
    layers = torch.nn.Sequential(torch.nn.Flatten(), linear)
    manifest = Manifest("embedding", 32, 32, 0.0, 0, 4, "", {})
    network = Network(Model("", manifest, to_onnx(layers, (1, 32, 32)), None), device="cpu")
    found = network.embed([np.ones((32, 32), np.uint8)])
    np.testing.assert_allclose(found, 1_024 * 1e5, rtol=1e-3)


def test_the_manifest_tells_the_run(exported: Exported) -> None:
    folder, manifest = RunFolder(exported.run.path), exported.model.manifest
    result, facts = read_json(folder.result), read_json(folder.facts)
    split = read_split(folder.split)
    assert (manifest.kind, manifest.embedding_size) == ("embedding", 32)
    assert (manifest.height_px, manifest.width_px) == (24, 32)
    assert (manifest.margin, manifest.localiser_px) == (SEEN_MARGIN, SIDE_PX)
    # Four steps teach the localiser nothing, so that likeness may as well tell against a whale.
    assert np.isfinite(list(Calibration.from_dict(manifest.calibration).to_dict().values())).all()
    assert manifest.training["fingerprint"] == facts["fingerprint"] == split.fingerprint
    assert manifest.training["seed"] == 0
    assert manifest.training["validation"]["map5"] == result["map5"]
    assert manifest.training["command"].startswith("flukeprint train whales --out RUN --set ")
    assert manifest.split["protocol"] == "open-set"
    scores = manifest.metrics["open-set"]["map5"]
    assert scores["low"] <= scores["value"] <= scores["high"]
    assert "Apache-2.0" in manifest.licence
    # Each photo is there once by its hash's first digits, and no query of the outer split is.
    assert len(manifest.trained_on) == len(split.train)
    assert all(len(digits) == 12 for digits in manifest.trained_on)


def test_the_file_is_the_model(exported: Exported) -> None:
    assert load_model(exported.path) == exported.model


def test_the_id_is_the_same_each_time(exported: Exported, tmp_path: Path) -> None:
    again = export(exported.run.path, tmp_path / "again.fluke")
    assert again.id == exported.model.id


def test_somebodys_own_file_is_not_written_over(tmp_path: Path, finished: FinishedRun) -> None:
    own = tmp_path / "notes.docx"
    with zipfile.ZipFile(own, "w") as archive:
        archive.writestr("document.xml", "my notes")
    before = own.read_bytes()
    with pytest.raises(FlukeprintError, match="notes.docx: another kind of file is there"):
        export(finished.path, own)
    assert own.read_bytes() == before
    weights = RunFolder(finished.path).weights
    with pytest.raises(FlukeprintError, match="another kind of file is there"):
        export(finished.path, weights)
    with pytest.raises(FlukeprintError, match="is not a file"):
        export(finished.path, tmp_path)


def test_the_scores_in_it_are_those_that_evaluate_gives(exported: Exported) -> None:
    data = Path(read_json(RunFolder(exported.run.path).facts)["data"])
    report = evaluate_target(exported.path, data=data)[0]
    assert report.protocol == "open-set"
    assert exported.model.manifest.metrics["open-set"] == report.summary()["metrics"]


def _run_without(finished: FinishedRun, folder: Path, name: str) -> Path:
    run = shutil.copytree(finished.path, folder / "run")
    (run / name).unlink()
    return run


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("config.toml", "not a training run"),
        ("result.json", "has not finished"),
        ("run.json", "run.json: not a readable JSON file"),
        ("split.json", "split.json: not a split"),
        ("weights.safetensors", "weights.safetensors: No such file"),
        ("localiser.safetensors", "localiser.safetensors: missing"),
    ],
)
def test_an_unfinished_run_is_refused(
    name: str, message: str, finished: FinishedRun, tmp_path: Path
) -> None:
    run = _run_without(finished, tmp_path, name)
    with pytest.raises(FlukeprintError, match=message):
        export(run, tmp_path / "model.fluke")
    assert not (tmp_path / "model.fluke").exists()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("weights.safetensors", "not this run's weights"),
        ("localiser.safetensors", "damaged; delete it"),
        ("result.json", "result.json: not a readable JSON file"),
    ],
)
def test_a_damaged_run_is_refused(
    name: str, message: str, finished: FinishedRun, tmp_path: Path
) -> None:
    run = shutil.copytree(finished.path, tmp_path / "run")
    (run / name).write_bytes((run / name).read_bytes()[:50])
    with pytest.raises(FlukeprintError, match=message):
        export(run, tmp_path / "model.fluke")


@pytest.mark.parametrize("name", ["", "nowhere"])
def test_a_folder_that_is_no_run_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(FlukeprintError, match="not a training run; give the folder of --out"):
        export(tmp_path / name, tmp_path / "model.fluke")


def test_a_run_that_never_validated_is_refused(finished: FinishedRun, tmp_path: Path) -> None:
    run = shutil.copytree(finished.path, tmp_path / "run")
    (run / "result.json").write_text('{"epoch": 0, "epochs": 4}')
    with pytest.raises(FlukeprintError, match=r"holds no map5"):
        export(run, tmp_path / "model.fluke")


# networks of other kinds, the whole way from photos to names

SMALLEST = [
    *SETTINGS,
    "epochs=1",
    "validate_every=1",
    "localise=false",
    "drawn_whales=0",
    "early_share=0.0",
]
KINDS = {
    "softmax": ["loss=softmax", "new_whale=class", "mirror_individuals=false", "both_sides=false"],
    "colour": ["channels=3"],
    "random": ["protocol=random", "query_share=0.25", "validation_share=0.2"],
    "half": ["whales=second-half", "query_share=0.2", "validation_share=0.2"],
}


@dataclasses.dataclass(frozen=True)
class Made:
    """A run, the model exported into its folder, and what it learned from."""

    run: RunFolder
    model: Model
    data: Path

    def torch_network(self) -> TrainedNetwork:
        """The run's network, its weights unrounded."""
        config = read_config(self.run.config, [])
        return load_network(self.run, config, len(self.model.manifest.classes))


@pytest.fixture(scope="module")
def made(
    nursery: Nursery, finished: FinishedRun, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Made]:
    """One small run of each kind, trained and exported when first asked for."""
    folder, known = tmp_path_factory.mktemp("kinds"), dict[str, Made]()

    def make(kind: str) -> Made:
        if kind not in known:
            run = RunFolder(folder / kind)
            attempt = nursery.train(finished.data, run.path, [*SMALLEST, *KINDS[kind]])
            assert attempt.code == 0, attempt.lines
            model = export(run.path, run.path / RUN_MODEL)
            known[kind] = Made(run, model, finished.data)
        return known[kind]

    return make


def _labels(made: Made, names: tuple[str, ...]) -> set[str]:
    side = set(names)
    return {row.individual for row in read_table(made.data).rows if row.name in side}


def _crops(channels: int) -> NDArray[np.uint8]:
    """Nine crops; of colour ones, (height, width, 3)."""
    size = (9, 24, 32) if channels == 1 else (9, 24, 32, channels)
    return np.random.default_rng(1).integers(0, 256, size, dtype=np.uint8)


def test_a_classifiers_classes_are_the_whales_it_learned_in_their_order(
    made: Callable[[str], Made],
) -> None:
    """``new_whale`` is one of them where the config makes it a class."""
    found = made("softmax")
    inner, manifest = read_split(found.run.inner_split), found.model.manifest
    config = read_config(found.run.config, [])
    assert (manifest.kind, manifest.embedding_size) == ("softmax", len(manifest.classes))
    assert manifest.classes == tuple(sorted(_labels(found, inner.train)))
    assert NEW_WHALE in manifest.classes
    collection = read_collection(found.data)
    lesson, _ = lesson_of(collection, inner, (), config, None, no_progress)
    assert manifest.classes == lesson.individuals


def test_a_classifiers_logits_are_torchs(made: Callable[[str], Made]) -> None:
    found, crops = made("softmax"), _crops(1)
    with torch.inference_mode():
        wanted = found.torch_network()(torch.from_numpy(crops)[:, None].float()).numpy()
    logits = Network(found.model, device="cpu", threads=1).embed(list(crops))
    assert logits.shape == (9, len(found.model.manifest.classes))
    np.testing.assert_allclose(logits, wanted, atol=5e-3 * np.abs(wanted).max())


def test_a_colour_networks_embeddings_are_torchs(made: Callable[[str], Made]) -> None:
    found, crops = made("colour"), _crops(3)
    assert found.model.manifest.channels == 3
    with torch.inference_mode():
        batch = torch.from_numpy(crops).permute(0, 3, 1, 2).float()
        wanted = BothSides(found.torch_network())(batch).numpy()
    embedded = Network(found.model, device="cpu", threads=1).embed(list(crops))
    assert _cosines(embedded, wanted).min() >= 0.9999
    swapped = Network(found.model, device="cpu", threads=1).embed(list(crops[..., ::-1]))
    assert _cosines(swapped, wanted).min() < 0.9999, "red is not blue"


@pytest.mark.parametrize("kind", ["softmax", "colour"])
def test_every_kind_of_model_identifies(kind: str, made: Callable[[str], Made]) -> None:
    """From photo files to whales with probabilities that, with the new whale's, sum to 1."""
    found = made(kind)
    network = Network(load_model(found.run.path / RUN_MODEL), device="cpu", threads=1)
    table = read_table(found.data)
    paths = [row.path for row in table.rows[:3]]
    whales = set(table.individuals)
    answers, failures = identify(paths, table, network, top=len(whales))
    assert (len(answers), failures) == (3, ())
    for answer in answers:
        assert answer.failure is None and answer.new is not None
        named = [candidate.individual for candidate in answer.candidates]
        assert len(named) == len(set(named))
        assert set(named) <= whales
        total = answer.new + sum(candidate.probability for candidate in answer.candidates)
        assert total == pytest.approx(1.0, abs=1e-5)


def test_what_evaluate_cannot_do_it_refuses_before_it_exports(
    finished: FinishedRun, tmp_path: Path
) -> None:
    run = shutil.copytree(finished.path, tmp_path / "run")
    (run / RUN_MODEL).unlink(missing_ok=True)
    for wrong in (["--model", "best"], ["--out", str(finished.data)]):
        done = CliRunner().invoke(cli, ["evaluate", str(run), *wrong])
        assert isinstance(done.exception, FlukeprintError), done.output
        assert not (run / RUN_MODEL).exists()


@pytest.mark.parametrize("kind", ["softmax", "colour", "half"])
def test_evaluating_a_run_gives_the_scores_in_its_file(
    kind: str, made: Callable[[str], Made]
) -> None:
    """By the run's own split, of half of the whales too; other catalogues are those of all."""
    found = made(kind)
    report = evaluate_target(found.run.path)[0]
    assert report.protocol == "open-set"
    assert found.model.manifest.metrics["open-set"] == report.summary()["metrics"]
    assert report.queries_known + report.queries_new == len(read_split(found.run.split).queries)


def test_a_model_of_half_of_the_whales_says_where_its_split_is(
    made: Callable[[str], Made],
) -> None:
    found = made("half")
    assert found.model.manifest.split["whales"] == "second-half"
    with pytest.raises(FlukeprintError, match=r"give --split RUN/split\.json"):
        evaluate_target(found.run.path / RUN_MODEL, data=found.data)
    reports = evaluate_target(
        found.run.path / RUN_MODEL, data=found.data, split_path=found.run.split
    )
    assert found.model.manifest.metrics["open-set"] == reports[0].summary()["metrics"]


def test_a_run_of_a_random_split_exports_without_scores(made: Callable[[str], Made]) -> None:
    """Twins on both sides of it would flatter them."""
    found = made("random")
    assert found.model.manifest.split["protocol"] == "random"
    assert found.model.manifest.metrics == {}
    assert Calibration.from_dict(found.model.manifest.calibration)


# several runs in one file


@pytest.fixture(scope="module")
def second(
    nursery: Nursery, finished: FinishedRun, tmp_path_factory: pytest.TempPathFactory
) -> RunFolder:
    """A run on the split of ``finished``, with a wider network and one side."""
    run = RunFolder(tmp_path_factory.mktemp("second") / "run")
    settings = [*SETTINGS, "epochs=1", "validate_every=1", "embedding_size=24", "both_sides=false"]
    attempt = nursery.train(finished.data, run.path, settings)
    assert attempt.code == 0, attempt.lines
    return run


def test_runs_joined_are_as_alike_as_on_average(
    exported: Exported, second: RunFolder, tmp_path: Path
) -> None:
    joined = export(exported.run.path, tmp_path / "joined.fluke", beside=[second.path])
    alone = export(second.path, tmp_path / "alone.fluke")
    crops = list(_crops(1))
    vectors = [
        Network(model, device="cpu", threads=1).embed(crops)
        for model in (joined, exported.model, alone)
    ]
    assert [part.shape[1] for part in vectors] == [32 + 24, 32, 24]
    both, first, other = (part @ part.T for part in vectors)
    np.testing.assert_allclose(both, (first + other) / 2, atol=1e-4)
    assert joined.localiser == exported.model.localiser
    assert joined.manifest.trained_on == exported.model.manifest.trained_on
    (told,) = joined.manifest.training["beside"]
    assert "embedding_size=24" in told["command"]
    assert load_model(tmp_path / "joined.fluke").id == joined.id


@pytest.mark.parametrize("kind", ["softmax", "colour", "half"])
def test_runs_that_do_not_go_together_are_refused(
    kind: str, made: Callable[[str], Made], finished: FinishedRun, tmp_path: Path
) -> None:
    with pytest.raises(FlukeprintError, match="cannot be joined|another split or other crops"):
        export(finished.path, tmp_path / "joined.fluke", beside=[made(kind).run.path])
    assert not any(tmp_path.iterdir())


# a run that learned from everything


@pytest.fixture(scope="module")
def everything(
    nursery: Nursery, finished: FinishedRun, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A run on the photos of ``finished`` that keeps none of them back."""
    run = tmp_path_factory.mktemp("everything") / "run"
    attempt = nursery.train(finished.data, run, [*SETTINGS, "protocol=everything"])
    assert attempt.code == 0, attempt.lines
    return run


def test_a_run_on_everything_keeps_its_last_epoch(everything: Path, finished: FinishedRun) -> None:
    folder = RunFolder(everything)
    result, log = read_json(folder.result), folder.log.read_text().splitlines()
    assert (result["epoch"], result["epochs"], len(log)) == (4, 4, 4)
    assert not any("map5" in line for line in [*result, *log])
    hashes = read_collection(finished.data, no_progress).hashes.values()
    assert {one[:12] for one in hashes} == set(read_json(folder.learned)["photos"])


def test_it_takes_over_the_beliefs_of_a_model_trained_alike(
    everything: Path, exported: Exported, tmp_path: Path
) -> None:
    path = tmp_path / "all.fluke"
    command = ["export", str(everything), "--out", str(path), "--calibration", str(exported.path)]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    own, twin = load_model(path).manifest, exported.model.manifest
    assert own.calibration == twin.calibration
    assert own.true_probabilities == twin.true_probabilities
    assert (own.metrics, own.training["calibration_of"]) == ({}, exported.model.id)
    assert own.training["validation"] == {"epoch": 4}
    assert set(twin.trained_on) < set(own.trained_on)
    table = read_table(exported.run.data)
    photos = [row.path for row in table.rows][:3]
    answers, failures = identify(photos, table, Network(load_model(path), device="cpu", threads=1))
    assert (len(answers), failures) == (3, ())


def test_it_is_not_scored_on_what_it_learned_from(
    everything: Path, exported: Exported, tmp_path: Path
) -> None:
    path = tmp_path / "all.fluke"
    export(everything, path, calibration=exported.path)
    with pytest.raises(FlukeprintError, match="this model has learned from every photo there"):
        evaluate_target(path, data=exported.run.data)
    refused = CliRunner().invoke(cli, ["evaluate", str(everything)]).exception
    assert "has learned from every photo, and kept none to be scored on" in str(refused)
    with pytest.raises(FlukeprintError, match="this split asks about no photo"):
        split = RunFolder(everything).split
        evaluate_target(path, data=exported.run.data, split_path=split)
    with pytest.raises(FlukeprintError, match="were seen in this model's training"):
        split = RunFolder(exported.run.path).split
        evaluate_target(path, data=exported.run.data, split_path=split)


def test_beliefs_that_do_not_fit_a_run_are_refused(
    everything: Path, exported: Exported, made: Callable[[str], Made], tmp_path: Path
) -> None:
    path, colour = tmp_path / "all.fluke", made("colour").run.path / RUN_MODEL
    with pytest.raises(FlukeprintError, match="export it with --calibration MODEL"):
        export(everything, path)
    with pytest.raises(FlukeprintError, match="its channels is 3, the run's 1"):
        export(everything, path, calibration=colour)
    with pytest.raises(FlukeprintError, match="kept photos to calibrate with"):
        export(exported.run.path, path, calibration=exported.path)
    assert not path.exists()
