"""Tests of reading, loading and fetching published weights."""

import io
import os
import pickle
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError

import pytest

pytest.importorskip("torch", reason="training needs torch")

import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from flukeprint.errors import FlukeprintError
from flukeprint.training import pretrained
from flukeprint.training.backbones import make_backbone
from flukeprint.training.pretrained import (
    fetch_pretrained,
    load_backbone,
    published_weights,
    read_state,
)

State = dict[str, Tensor]


@pytest.fixture
def state() -> State:
    torch.manual_seed(1)
    return make_backbone("stanford_cnn", 3).state_dict()


def saved(thing: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(thing, buffer)
    return buffer.getvalue()


def same(found: State, wanted: State) -> None:
    assert set(found) == set(wanted)
    for name, tensor in wanted.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=0)


# reading


def test_each_kind_of_file_reads_alike(tmp_path: Path, state: State) -> None:
    save_file(state, tmp_path / "a.safetensors")
    torch.save(state, tmp_path / "b.pth")
    torch.save(state, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    torch.save({"state_dict": state, "epoch": 7, "arch": "x"}, tmp_path / "nested.pth")
    for name in ("a.safetensors", "b.pth", "old.pt", "nested.pth"):
        same(read_state(tmp_path / name), state)


class Malicious:
    """What a hostile file would do as it is unpickled: make a folder."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.trace),)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    pickle.loads(pickle.dumps(Malicious(trace)))
    assert trace.is_dir()  # it would have worked
    trace.rmdir()
    bad = {"a": torch.zeros(2), "b": Malicious(trace)}
    files = {
        "inside.pth": saved(bad),
        "nested.pth": saved({"state_dict": bad}),
        "new.pkl": pickle.dumps(bad),
        "old.pkl": pickle.dumps(bad, protocol=2),
        "network.pt": saved(nn.Linear(2, 2)),
    }
    for name, content in files.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(FlukeprintError) as caught:
            read_state(path)
        assert str(caught.value) == (
            f"{path}: holds more than tensors, and flukeprint never runs what a weights file "
            "holds; bring a plain state dict or safetensors"
        )
    assert not trace.exists()


def test_the_oldest_pickle_does_not_run_either(tmp_path: Path) -> None:
    path = tmp_path / "oldest.pkl"
    path.write_bytes(pickle.dumps(Malicious(tmp_path / "ran"), protocol=0))
    with pytest.raises(FlukeprintError, match="oldest.pkl"):
        read_state(path)
    assert not (tmp_path / "ran").exists()


def test_damaged_files_are_named_in_one_line(tmp_path: Path, state: State) -> None:
    save_file(state, tmp_path / "whole.safetensors")
    whole = (tmp_path / "whole.safetensors").read_bytes()
    files = {
        "text.pth": b"these are no weights\n" * 9,
        "page.pth": b"<!DOCTYPE html><html>Not found</html>",
        "empty.pth": b"",
        "cut.pth": saved(state)[:-3_000],
        "text.safetensors": b"these are no weights\n" * 9,
        "empty.safetensors": b"",
        "cut.safetensors": whole[: len(whole) // 2],
    }
    for name, content in files.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(FlukeprintError) as caught:
            read_state(path)
        message = str(caught.value)
        assert message.startswith(f"{path}: not a readable weights file; bring it again: ")
        assert "\n" not in message


@pytest.mark.parametrize("name", ["none.pth", "none.safetensors"])
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(FlukeprintError, match=f"{name}: no such file"):
        read_state(tmp_path / name)


@pytest.mark.parametrize(
    "thing",
    [
        {},
        [1, 2],
        torch.zeros(3),
        {"a": 1.0},
        {1: torch.zeros(3)},
        {"state_dict": {"a": [1]}},
        {"a": torch.eye(3).to_sparse()},
        {"a": torch.zeros(3, device="meta")},
    ],
)
def test_something_else_is_not_a_state_dict(tmp_path: Path, thing: object) -> None:
    path = tmp_path / "thing.pth"
    path.write_bytes(saved(thing))
    with pytest.raises(FlukeprintError, match="thing.pth: not a state dict"):
        read_state(path)


# loading


def test_published_names_load_and_the_classifier_is_left(state: State) -> None:
    backbone = make_backbone("stanford_cnn", 3)
    given = {**state, "fc.weight": torch.zeros(6, 256), "fc.bias": torch.zeros(6)}
    assert load_backbone(backbone, given, "w.pth") == ["fc.weight", "fc.bias"]
    same(backbone.state_dict(), state)


def test_of_a_runs_own_weights_only_the_backbone_counts(state: State) -> None:
    backbone = make_backbone("stanford_cnn", 3)
    given = {f"backbone.{name}": tensor for name, tensor in state.items()}
    given |= {"pool.power": torch.tensor(3.0), "features.0.weight": torch.zeros(1)}
    assert load_backbone(backbone, given, "weights") == ["pool.power", "features.0.weight"]
    same(backbone.state_dict(), state)


def test_the_step_counters_may_be_missing(state: State) -> None:
    backbone = make_backbone("stanford_cnn", 3)
    given = {name: t.half() if t.is_floating_point() else t for name, t in state.items()}
    given = {name: t for name, t in given.items() if not name.endswith("num_batches_tracked")}
    assert load_backbone(backbone, given, "w.pth") == []
    found = backbone.state_dict()
    torch.testing.assert_close(
        found["features.0.weight"], state["features.0.weight"].half().float()
    )
    assert found["features.0.weight"].dtype == torch.float32


def test_what_does_not_fit_is_named_and_nothing_is_filled(state: State) -> None:
    missing = {name: t for name, t in state.items() if name != "features.4.weight"}
    misshapen = state | {"features.4.bias": torch.zeros(65), "features.5.bias": torch.zeros(3)}
    whole = state | {"features.4.bias": torch.zeros(64, dtype=torch.int64)}
    cases: list[tuple[State, str]] = [
        (missing, "features.4.weight is missing (1 of 28"),
        (misshapen, "features.4.bias is float32 65, not float32 64 (2 of 28"),
        (whole, "features.4.bias is int64 64, not float32 64 (1 of 28"),
        ({"x": torch.zeros(1)}, "features.0.weight is missing (24 of 28"),
    ]
    for given, reason in cases:
        backbone = make_backbone("stanford_cnn", 3)
        before = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}
        with pytest.raises(FlukeprintError) as caught:
            load_backbone(backbone, given, "w.pth")
        assert str(caught.value).startswith(f"w.pth: not this backbone's weights: {reason} do not")
        same(backbone.state_dict(), before)


@pytest.mark.parametrize("name", ["vgg19", "stanford_cnn", "test_resnet"])
def test_colour_weights_see_the_same_in_grey(name: str) -> None:
    torch.manual_seed(0)
    colour, grey = make_backbone(name, 3).eval(), make_backbone(name, 1).eval()
    load_backbone(grey, colour.state_dict(), "w.pth")
    crops = torch.randn(2, 1, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(grey(crops), colour(crops.expand(-1, 3, -1, -1)))


def test_grey_weights_do_not_fit_colour() -> None:
    given = make_backbone("stanford_cnn", 1).state_dict()
    with pytest.raises(
        FlukeprintError, match=r"float32 32 x 1 x 3 x 3, not float32 32 x 3 x 3 x 3"
    ):
        load_backbone(make_backbone("stanford_cnn", 3), given, "w.pth")


def test_a_published_face_network_would_load() -> None:
    given = make_backbone("inception_resnet_v1", 3).state_dict()
    given |= {"logits.weight": torch.zeros(8_631, 512), "logits.bias": torch.zeros(8_631)}
    backbone = make_backbone("inception_resnet_v1", 3)
    assert load_backbone(backbone, given, "vggface2.pt") == ["logits.weight", "logits.bias"]


# fetching


def test_published_files_are_known_without_a_network() -> None:
    vgg = published_weights("vgg19")
    assert vgg.file == "vgg19-dcbb9e9d.pth"
    assert vgg.address == "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"
    face = published_weights("inception_resnet_v1")
    assert face.file == "20180402-114759-vggface2.pt" and face.address.endswith(face.file)
    inception = published_weights("inception_resnet_v2")
    assert inception.file == "model.safetensors" and inception.licence == "apache-2.0"
    assert "timm/inception_resnet_v2.tf_in1k" in inception.address


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ucsd_siamese", "nobody has published weights for ucsd_siamese"),
        ("nonesuch", "config: backbone 'nonesuch'"),
        ("resnet18.nonesuch", "config: backbone 'resnet18.nonesuch'"),
    ],
)
def test_what_nobody_published_is_named(name: str, reason: str) -> None:
    for ask in (published_weights, fetch_pretrained):
        with pytest.raises(FlukeprintError, match=reason):
            ask(name)


def test_a_timm_model_without_weights_is_named() -> None:
    bare = next(name for name in timm.list_models() if not has_weights(name))
    with pytest.raises(FlukeprintError, match=f"timm has no published weights for {bare}"):
        fetch_pretrained(bare)


def has_weights(name: str) -> bool:
    facts = timm.models.get_pretrained_cfg(name)
    return bool(facts and facts.has_weights)


@pytest.mark.parametrize(
    "name", ["vgg19", "inception_resnet_v1", "resnet18", "inception_resnet_v2"]
)
def test_without_a_network_the_file_to_bring_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise URLError("no\nnetwork")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fail)
    monkeypatch.setattr(pretrained, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(urllib.request, "urlopen", fail)
    began = time.monotonic()
    with pytest.raises(FlukeprintError) as caught:
        fetch_pretrained(name)
    published = published_weights(name)
    assert str(caught.value) == (
        f"--pretrained: could not fetch {name}'s published weights (<urlopen error no network>); "
        f"bring the file {published.file} from {published.address} and give it with --weights FILE"
    )
    assert time.monotonic() - began < 5.0


def test_torchs_files_are_checked_and_never_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, dict[str, Any]] = {}

    def download(address: str, **settings: Any) -> State:
        asked[address.rsplit("/", 1)[1]] = settings
        return {"a": torch.zeros(1)}

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", download)
    for name in ("vgg19", "inception_resnet_v1"):
        assert set(fetch_pretrained(name)) == {"a"}
    assert all(settings["weights_only"] is True for settings in asked.values())
    assert asked["vgg19-dcbb9e9d.pth"]["check_hash"] is True
    assert asked["20180402-114759-vggface2.pt"]["check_hash"] is False


def test_a_file_in_the_hubs_cache_needs_no_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    torch.manual_seed(3)
    whole = timm.create_model("test_resnet", pretrained=False)
    cached = tmp_path / "model.safetensors"
    save_file(whole.state_dict(), cached)
    monkeypatch.setattr(pretrained, "try_to_load_from_cache", lambda *_: str(cached))
    fetched = fetch_pretrained("test_resnet")
    backbone = make_backbone("test_resnet", 1)
    assert load_backbone(backbone, fetched, "test_resnet") == []
    name = "layer1.0.conv1.weight"
    torch.testing.assert_close(fetched[name], whole.state_dict()[name], rtol=0, atol=0)


def test_any_answer_counts_as_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(request: Any) -> None:
        raise HTTPError(request.full_url, 404, "Not Found", None, None)  # type: ignore[arg-type]

    def create(*_: object, **__: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(pretrained, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr(timm, "create_model", create)
    with pytest.raises(FlukeprintError, match=r"\(the disk is full\); bring the file"):
        fetch_pretrained("resnet18")
