"""Networks run on the device asked for, read no other file and give what they promise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from flukeprint.crops import crop
from flukeprint.errors import FlukeprintError
from flukeprint.model import Model
from flukeprint.network import Network
from flukeprint.records import WHOLE, Box, Fluke
from tests.tiny import (
    dark,
    embedder_onnx,
    localiser_onnx,
    make_model,
    picture,
    place,
    places_onnx,
    softmax_onnx,
    tinted,
)


@pytest.fixture
def colour_model(tmp_path: Path) -> Model:
    """The tiny model of three channels: 64 numbers of each."""
    return make_model(tmp_path / "colour.fluke", channels=3, embedding_size=192)


def test_embeddings_are_unit_vectors_one_a_crop(tiny_model: Model) -> None:
    crops = [picture(seed, 64, 32) for seed in range(3)]
    vectors = Network(tiny_model).embed(crops)
    assert vectors.shape == (3, 64)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0)
    assert vectors[0] == pytest.approx(Network(tiny_model, threads=1).embed(crops[:1])[0], abs=1e-6)


def test_the_localiser_says_what_is_cut(tiny_model: Model) -> None:
    model = replace(tiny_model, localiser=localiser_onnx(0.5, 0.0, 1.0, 0.5))
    network = Network(model)
    (fluke,) = network.locate([network.squash(picture(1))])
    assert fluke == Fluke(Box(0.5, 0.0, 1.0, 0.5), fluke.probability)
    assert fluke.probability == pytest.approx(1.0, abs=1e-4)
    assert (network.cut(picture(1), fluke) == crop(picture(1), fluke, 32, 64)).all()


def test_every_number_of_a_place_reaches_the_cut(tiny_model: Model) -> None:
    localiser = places_onnx(
        place(0.125, 0.25, 0.625, 0.75, slope=0.25, upside_down=10.0, shown=0.0),
        place(0.75, 0.0, 1.0, 0.25),
    )
    network = Network(replace(tiny_model, localiser=localiser))
    turned = Fluke(Box(0.125, 0.25, 0.625, 0.75), 0.5, 0.25, upside_down=True, others=1)
    photos = [picture(seed) for seed in (1, 2)]
    assert network.locate([network.squash(photo) for photo in photos]) == [turned] * 2
    upright = replace(turned, upside_down=False)
    for photo in photos:
        cut = network.cut(photo, turned)
        assert (cut == crop(photo, turned, 32, 64)).all()
        assert (cut[::-1, ::-1] == network.cut(photo, upright)).all()


def test_each_photo_of_a_batch_is_judged_by_itself(tiny_model: Model) -> None:
    localiser = localiser_onnx(0.0, 0.0, 1.0, 1.0, shown=-50.0, light=1.0)
    network = Network(replace(tiny_model, localiser=localiser))
    photos = [picture(1), dark(), picture(2)]
    found = network.locate([network.squash(photo) for photo in photos])
    assert [fluke.seen for fluke in found] == [True, False, True]


def flat_localiser(numbers: int) -> bytes:
    """The localiser of model format 1: (N, 1, 16, 16) to (N, numbers)."""
    return softmax_onnx(np.stack([picture(seed, 16, 16) for seed in range(numbers)]))


@pytest.mark.parametrize(
    ("localiser", "shape"),
    [
        (flat_localiser(4), r"\(1, 4\)"),
        (flat_localiser(8), r"\(1, 8\)"),
        (places_onnx(), r"\(1, 0, 8\)"),
    ],
)
def test_a_localiser_that_answers_otherwise_is_an_error(
    tiny_model: Model, localiser: bytes, shape: str
) -> None:
    network = Network(replace(tiny_model, localiser=localiser))
    with pytest.raises(FlukeprintError, match=f"localiser gives {shape}, not .* 8 numbers"):
        network.locate([network.squash(picture(1))])


def test_the_localiser_sees_colour_photos_in_grey(tiny_model: Model) -> None:
    network = Network(tiny_model)
    photo = tinted(1, 0.9, 0.5, 0.2)
    grey = np.asarray(Image.fromarray(photo).convert("L"))
    squashed = network.squash(photo)
    assert squashed.shape == (16, 16)
    assert squashed.dtype == np.uint8
    assert (squashed == network.squash(grey)).all()


def test_a_colour_embedder_is_fed_channels_first(colour_model: Model) -> None:
    network = Network(colour_model)
    photo = tinted(1, 0.9, 0.0, 0.3)
    cut = network.cut(photo, Fluke(WHOLE))
    assert cut.shape == (32, 64, 3)
    (vector,) = network.embed([cut])
    cells = cut.reshape(8, 4, 8, 8, 3).mean(axis=(1, 3)).transpose(2, 0, 1).ravel()
    wanted = cells - cells.mean()
    assert vector == pytest.approx(wanted / np.linalg.norm(wanted), abs=1e-5)


def test_crops_of_other_channels_than_the_models_are_an_error(
    tiny_model: Model, colour_model: Model
) -> None:
    for model, cut in ((tiny_model, tinted(1, 1, 1, 1)), (colour_model, picture(1))):
        network = Network(model)
        with pytest.raises(FlukeprintError, match="the model's embedder does not run"):
            network.embed([network.cut(cut, Fluke(WHOLE))])


def test_a_model_without_a_localiser_takes_the_whole_photo(tiny_model: Model) -> None:
    manifest = replace(tiny_model.manifest, localiser_px=0)
    network = Network(replace(tiny_model, manifest=manifest, localiser=None))
    assert network.locate([network.squash(picture(1))]) == [Fluke(WHOLE)]


def test_cuda_where_there_is_none_is_an_error(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onnxruntime.get_available_providers", lambda: ["CPUExecutionProvider"])
    with pytest.raises(FlukeprintError, match="no CUDA here: .* use --device cpu"):
        Network(tiny_model, device="cuda")
    assert Network(tiny_model, device="auto").device == "cpu"


def test_an_unknown_device_is_an_error(tiny_model: Model) -> None:
    with pytest.raises(FlukeprintError, match="no device 'tpu'; choose one of auto, cpu, cuda"):
        Network(tiny_model, device="tpu")


@pytest.mark.parametrize("onnx_bytes", [b"", b"no network", embedder_onnx()[:200]])
def test_what_is_no_network_is_an_error(tiny_model: Model, onnx_bytes: bytes) -> None:
    with pytest.raises(FlukeprintError, match="the model's embedder is not a network that runs"):
        Network(replace(tiny_model, embedder=onnx_bytes))


def test_a_network_of_another_size_than_the_manifest_says_is_an_error(tiny_model: Model) -> None:
    larger = replace(tiny_model, embedder=embedder_onnx(64, 64))
    with pytest.raises(FlukeprintError, match="the model's embedder does not run"):
        Network(larger).embed([picture(1, 64, 32)])
    fewer = replace(tiny_model, manifest=replace(tiny_model.manifest, embedding_size=32))
    with pytest.raises(FlukeprintError, match=r"gives \(1, 64\), not 1 answers of 32 numbers"):
        Network(fewer).embed([picture(1, 64, 32)])


def outside(location: str) -> bytes:
    """The identity plus weights that lie in another file."""
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4])
    weights.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", "16")):
        weights.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [weights],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(proto.SerializeToString())


@pytest.mark.parametrize("location", ["w.bin", "../w.bin", "/etc/passwd", "*/_ORT_MEM_ADDR_/*"])
def test_data_in_other_files_is_refused(
    tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, location: str
) -> None:
    monkeypatch.chdir(tmp_path)
    np.zeros(4, dtype=np.float32).tofile("w.bin")
    with pytest.raises(FlukeprintError, match="keeps data in other files; export it whole"):
        Network(replace(tiny_model, embedder=outside(location)))


def test_an_oddly_encoded_way_out_is_refused_too(tiny_model: Model) -> None:
    """Protobuf reads a length of 8 written in two bytes as well."""
    plain = outside("w.bin")
    odd = plain.replace(b"\x0a\x08location", b"\x0a\x88\x00location")
    assert odd != plain
    with pytest.raises(FlukeprintError, match="other files"):
        Network(replace(tiny_model, embedder=odd))


def test_whole_networks_pass_the_check_of_other_files(tiny_model: Model) -> None:
    named = onnx.load_from_string(tiny_model.embedder)
    named.doc_string = "allocation of the location"
    Network(replace(tiny_model, embedder=named.SerializeToString()))
