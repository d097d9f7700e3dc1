"""A model file is known by its contents, and a bad one is one clear error."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from dataclasses import asdict
from pathlib import Path

import pytest

from flukeprint.errors import FlukeprintError
from flukeprint.model import (
    EMBEDDER,
    FORMAT,
    LOCALISER,
    MANIFEST,
    VERSION,
    Model,
    load_model,
    save_model,
)
from tests.tiny import TINY, embedder_onnx, localiser_onnx, make_model

BODY = {"format": FORMAT, "version": VERSION, **asdict(TINY)}


def packed(members: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", kind) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def members_of(model: Model) -> dict[str, bytes]:
    assert model.localiser is not None
    body = {"format": FORMAT, "version": VERSION, **asdict(model.manifest)}
    return {
        LOCALISER: model.localiser,
        EMBEDDER: model.embedder,
        MANIFEST: json.dumps(body, sort_keys=True).encode(),
    }


def load(tmp_path: Path, raw: bytes) -> Model:
    path = tmp_path / "any.fluke"
    path.write_bytes(raw)
    return load_model(path)


def test_a_model_comes_back_as_it_was_saved(tmp_path: Path) -> None:
    made = save_model(TINY, embedder_onnx(), None, tmp_path / "m.fluke")
    assert (made.manifest, made.embedder, made.localiser) == (TINY, embedder_onnx(), None)
    assert load_model(tmp_path / "m.fluke") == made
    assert len(made.id) == 64


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_the_id_is_of_the_contents_not_the_packing(
    tmp_path: Path, tiny_model: Model, kind: int
) -> None:
    """Other order of members, another date, another compression: the same model."""
    assert load(tmp_path, packed(members_of(tiny_model), kind)).id == tiny_model.id


def test_other_contents_have_another_id(tmp_path: Path, tiny_model: Model) -> None:
    other = make_model(tmp_path / "m.fluke", licence="other")
    moved = save_model(TINY, embedder_onnx(), localiser_onnx(0, 0, 1, 0.5), tmp_path / "n.fluke")
    assert len({tiny_model.id, other.id, moved.id}) == 3


def test_every_cut_of_a_model_file_is_refused(tmp_path: Path, tiny_model: Model) -> None:
    whole = packed(members_of(tiny_model))
    for share in range(20):
        with pytest.raises(FlukeprintError, match="not a whole flukeprint model file"):
            load(tmp_path, whole[: len(whole) * share // 20])


@pytest.mark.parametrize("kind", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_flipped_byte_is_refused_or_harmless(
    tmp_path: Path, tiny_model: Model, kind: int
) -> None:
    whole = packed(members_of(tiny_model), kind)
    for place in range(0, len(whole), len(whole) // 150):
        flipped = bytearray(whole)
        flipped[place] ^= 0xFF
        try:
            assert load(tmp_path, bytes(flipped)).id == tiny_model.id  # a date, an attribute
        except FlukeprintError as error:
            assert "any.fluke" in str(error)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"format": "other-model"}, "not a flukeprint model"),
        ({"version": 1}, "model format 1; this flukeprint reads 2: update"),
        ({"version": 3}, "model format 3; this flukeprint reads 2: update"),
        ({"version": None}, "model format None"),
        ({"kind": "magic"}, "kind 'magic'"),
        ({"height_px": 0}, "sizes"),
        ({"width_px": "32"}, "sizes"),
        ({"embedding_size": 10**9}, "sizes"),
        ({"localiser_px": -1}, "localiser_px"),
        ({"localiser_px": 0}, "localiser_px is 0, but it has a localiser"),
        ({"margin": float("nan")}, "margin"),
        ({"margin": None}, r"model\.json is not valid"),
        ({"kind": "softmax"}, "0 classes, 64 outputs"),
        ({"classes": ["a", "a"]}, "a class twice"),
        ({"classes": 3}, r"model\.json is not valid"),
        ({"surprise": 1}, "surprise"),
        ({"channels": 2}, r"channels 2; it must be 1 \(grey\) or 3 \(colour\)"),
        ({"channels": 0}, "channels 0"),
        ({"channels": "3"}, "channels '3'"),
        ({"channels": True}, "channels True"),
        ({"channels": 3.0}, "channels 3.0"),
        ({"channels": [3]}, "channels"),
        ({"new_share": 0.0}, "new_share 0.0"),
        ({"new_share": 1.0}, "new_share 1.0"),
        ({"new_share": "0.5"}, "new_share '0.5'"),
        ({"new_share": float("nan")}, "new_share nan"),
        ({"true_probabilities": [0.5, 1.5]}, "true_probabilities"),
        ({"true_probabilities": [float("nan")]}, "true_probabilities"),
        ({"true_probabilities": ["much"]}, r"model\.json is not valid"),
        ({"calibration": {}}, r"model\.json is not valid.*calibration"),
        ({"calibration": {"likeness_gain": 10**400}}, "the model's calibration is not valid"),
        ({"calibration": []}, "calibration is no object"),
        ({"calibration": None}, "calibration is no object"),
        ({"training": []}, "training is no object"),
        ({"split": "open-set"}, "split is no object"),
        ({"split": {"protocol": "open-set"}}, r"protocol 'open-set' and seed None"),
        ({"split": {}, "training": {"fingerprint": "f"}}, "protocol None and seed None"),
        ({"split": {"protocol": [], "seed": 0, "settings": {}}}, r"protocol \[\]"),
        ({"split": {"protocol": "kfold", "seed": 0}}, "settings are no object"),
        ({"split": {"protocol": "kfold", "seed": 0, "settings": {"folds": "x"}}}, "folds is 'x'"),
        ({"split": {"protocol": "kfold", "seed": 0, "settings": {"folds": float("nan")}}}, "nan"),
        ({"split": {"protocol": "kfold", "seed": 0, "settings": {"folds": 10**400}}}, "folds is 1"),
        ({"margin": 10**400}, r"model\.json is not valid"),
        ({"true_probabilities": [10**400]}, r"model\.json is not valid"),
        ({"trained_on": [["x"]]}, "trained_on holds what is no text"),
        ({"classes": [1, 2]}, "classes holds what is no text"),
        ({"metrics": []}, "metrics is no object"),
    ],
)
def test_a_manifest_that_cannot_be_is_refused(
    tmp_path: Path, tiny_model: Model, change: dict[str, object], reason: str
) -> None:
    members = members_of(tiny_model) | {MANIFEST: json.dumps(BODY | change).encode()}
    with pytest.raises(FlukeprintError, match=reason):
        load(tmp_path, packed(members))


def test_a_file_from_before_there_was_colour_is_grey(tmp_path: Path, tiny_model: Model) -> None:
    older = json.dumps({name: value for name, value in BODY.items() if name != "channels"}).encode()
    members = members_of(tiny_model) | {MANIFEST: older}
    model = load(tmp_path, packed(members))
    assert model.manifest == tiny_model.manifest
    assert model.manifest.channels == 1
    digest = hashlib.sha256()  # the id is of what the file holds, not of what is made of it
    for name, content in sorted(members.items()):
        digest.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
    assert model.id == digest.hexdigest()


def test_a_colour_model_comes_back_as_one(tmp_path: Path) -> None:
    make_model(tmp_path / "c.fluke", channels=3, embedding_size=192)
    assert load_model(tmp_path / "c.fluke").manifest.channels == 3


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"3", b"\xff", b"[" * 100_000])
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, tiny_model: Model, body: bytes) -> None:
    with pytest.raises(FlukeprintError, match="any.fluke"):
        load(tmp_path, packed(members_of(tiny_model) | {MANIFEST: body}))


@pytest.mark.parametrize("raw", [b"", b"not a zip", packed({}), packed({"a.txt": b"hello"})])
def test_what_is_no_model_is_refused(tmp_path: Path, raw: bytes) -> None:
    with pytest.raises(FlukeprintError, match="not a (whole )?flukeprint model"):
        load(tmp_path, raw)


def test_a_zip_bomb_is_refused_unread(tmp_path: Path, tiny_model: Model) -> None:
    bomb = packed(members_of(tiny_model) | {EMBEDDER: bytes(10**7)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(FlukeprintError, match="unpacks to more than a model can need"):
        load(tmp_path, bomb)


def test_paths_that_are_no_file_are_errors(tmp_path: Path) -> None:
    with pytest.raises(FlukeprintError, match="cannot read this model: No such file"):
        load_model(tmp_path / "missing.fluke")
    with pytest.raises(FlukeprintError, match="not a model file"):
        load_model(tmp_path)
    with pytest.raises(FlukeprintError, match="cannot read this model"):
        load_model(tmp_path / ("x" * 300))
