"""A model file: one zip of ``model.json``, ``embedder.onnx`` and ``localiser.onnx``.

Nothing in it is ever unpickled. Its id is a hash of its members' contents, so the same weights and
calibration have the same id wherever and whenever they were packed.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import zipfile
import zlib
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from flukeprint.decide import Calibration
from flukeprint.errors import FlukeprintError
from flukeprint.files import write_bytes
from flukeprint.records import COMPETITION_NEW_SHARE, check_recipe

FORMAT = "flukeprint-model"
VERSION = 2  # 2: the localiser answers for many places
MAX_BYTES = 2 * 1024**3
MOST_UNPACKED = 20  # times the file's size: weights hardly shrink, a bomb shrinks a thousandfold
EMBEDDER, LOCALISER, MANIFEST = "embedder.onnx", "localiser.onnx", "model.json"
DEFAULT, MEASURED = "default", "measured"
SHIPPED = {DEFAULT: DEFAULT, "best": DEFAULT, MEASURED: MEASURED}
"""The models that ship with flukeprint, each name's file; docs/models.md says how they differ."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a model says of itself.

    ``kind`` is ``embedding`` (unit vectors, compared with a gallery) or ``softmax`` (logits over
    ``classes``). ``height_px`` and ``width_px`` are the fluke crop's size, ``margin`` the share of
    the box added on each side, ``localiser_px`` the side of the squashed photo that the localiser
    sees (0: the whole photo is the crop). ``calibration`` belongs to :mod:`flukeprint.decide`, and
    so do ``true_probabilities``: quantiles, at even steps from the least to the most, of the
    probabilities that true matches were given; ``new_share`` is the share of new whales fitted to.
    ``channels`` is 1 where the embedder sees the crop in grey, 3 where in colour (red, green,
    blue); a file that does not say is of a grey model. The localiser always sees grey.
    ``split`` says how to remake the split it was trained on; ``trained_on`` holds the first 12
    characters of the SHA-256 of every photo it has seen in training or calibration.
    """

    kind: str
    height_px: int
    width_px: int
    margin: float
    localiser_px: int
    embedding_size: int
    preprocessing: str
    calibration: dict[str, float]
    training: dict[str, Any] = field(default_factory=dict)
    split: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    licence: str = ""
    classes: tuple[str, ...] = ()
    trained_on: tuple[str, ...] = ()
    channels: int = 1
    true_probabilities: tuple[float, ...] = ()
    new_share: float = COMPETITION_NEW_SHARE


@dataclass(frozen=True, slots=True)
class Model:
    """A model file's contents; ``id`` is 64 hexadecimal digits."""

    id: str
    manifest: Manifest
    embedder: bytes
    localiser: bytes | None


def load_model(path: Path | None = None) -> Model:
    """Read a model file, or one that ships with flukeprint, by its name: see ``SHIPPED``.

    Without a path it is the default one. A file of such a name is called ``./best``.

    Raises:
        FlukeprintError: it is missing, damaged, of another kind or of a later version.
    """
    name = DEFAULT if path is None else str(path)
    if path is None or name in SHIPPED:
        shipped = resources.files("flukeprint") / "weights" / f"{SHIPPED[name]}.fluke"
        try:
            return _parsed(shipped.read_bytes(), f"{shipped}")
        except OSError:
            raise FlukeprintError(
                f"the model {name} does not ship with this copy of flukeprint; install it whole, "
                "or give --model a file"
            ) from None
    try:
        if os.path.exists(path) and not os.path.isfile(path):
            raise FlukeprintError(f"{path}: not a model file")
        if path.stat().st_size > MAX_BYTES:
            raise FlukeprintError(f"{path}: larger than a model can be")
        raw = path.read_bytes()
    except OSError as error:
        raise FlukeprintError(f"{path}: cannot read this model: {error.strerror}") from None
    return _parsed(raw, str(path))


def save_model(manifest: Manifest, embedder: bytes, localiser: bytes | None, path: Path) -> Model:
    """Write a model file and return it as :func:`load_model` would."""
    raw = _packed(manifest, embedder, localiser)
    model = _parsed(raw, str(path))
    write_bytes(path, raw)
    return model


def make_model(manifest: Manifest, embedder: bytes, localiser: bytes | None) -> Model:
    """The same without writing a file."""
    return _parsed(_packed(manifest, embedder, localiser), "the new model")


def _packed(manifest: Manifest, embedder: bytes, localiser: bytes | None) -> bytes:
    body = {"format": FORMAT, "version": VERSION, **asdict(manifest)}
    members = {MANIFEST: json.dumps(body, sort_keys=True).encode(), EMBEDDER: embedder}
    if localiser is not None:
        members[LOCALISER] = localiser
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in sorted(members.items()):
            # Text shrinks by half, weights by a tenth: the embedder's would take too long to grow.
            how = zipfile.ZIP_STORED if name == EMBEDDER else zipfile.ZIP_DEFLATED
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content, how)
    return packed.getvalue()


def _parsed(raw: bytes, where: str) -> Model:
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            sizes = {member.filename: member.file_size for member in archive.infolist()}
            if MANIFEST not in sizes or EMBEDDER not in sizes:
                raise FlukeprintError(f"{where}: not a flukeprint model; make one with export")
            if not sizes.keys() <= {MANIFEST, EMBEDDER, LOCALISER}:  # or a damaged name goes unseen
                raise FlukeprintError(f"{where}: holds what no flukeprint model holds; damaged?")
            if sum(sizes.values()) > MOST_UNPACKED * len(raw):
                raise FlukeprintError(f"{where}: unpacks to more than a model can need")
            members = {
                name: archive.read(name)
                for name in (MANIFEST, EMBEDDER, LOCALISER)
                if name in sizes
            }
        body = json.loads(members[MANIFEST])
        _check_version(body, where)
        manifest = _manifest(body)
        if LOCALISER in members and not manifest.localiser_px:
            raise ValueError("localiser_px is 0, but it has a localiser")
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, RuntimeError):
        raise FlukeprintError(
            f"{where}: not a whole flukeprint model file; copy it again or make it with export"
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise FlukeprintError(f"{where}: its {MANIFEST} is not valid: {error}") from None
    digest = hashlib.sha256()
    for name, content in sorted(members.items()):
        digest.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
    return Model(digest.hexdigest(), manifest, members[EMBEDDER], members.get(LOCALISER))


def _check_version(body: dict[str, Any], where: str) -> None:
    if body.get("format") != FORMAT:
        raise FlukeprintError(f"{where}: not a flukeprint model; make one with export")
    if body.get("version") != VERSION:
        raise FlukeprintError(
            f"{where}: model format {body.get('version')!r}; this flukeprint reads {VERSION}: "
            "update flukeprint or export the model again"
        )


def _manifest(body: dict[str, Any]) -> Manifest:
    known = {name: value for name, value in body.items() if name not in ("format", "version")}
    known["classes"] = tuple(known.get("classes", ()))
    known["trained_on"] = tuple(known.get("trained_on", ()))
    known["true_probabilities"] = tuple(map(float, known.get("true_probabilities", ())))
    manifest = Manifest(**known)
    for name in ("calibration", "training", "split", "metrics"):
        if not isinstance(getattr(manifest, name), dict):
            raise ValueError(f"{name} is no object")
    for name in ("classes", "trained_on"):
        if not all(isinstance(entry, str) for entry in getattr(manifest, name)):
            raise ValueError(f"{name} holds what is no text")
    if manifest.split or "fingerprint" in manifest.training:  # evaluate makes such a split again
        check_recipe(manifest.split)
    try:
        Calibration.from_dict(manifest.calibration)
    except FlukeprintError as error:
        raise ValueError(str(error)) from None
    sizes = (manifest.height_px, manifest.width_px, manifest.embedding_size)
    if manifest.kind not in ("embedding", "softmax"):
        raise ValueError(f"kind {manifest.kind!r}")
    if not all(isinstance(size, int) and 0 < size <= 65_536 for size in sizes):
        raise ValueError(f"sizes {sizes}")
    if not isinstance(manifest.localiser_px, int) or not 0 <= manifest.localiser_px <= 4_096:
        raise ValueError(f"localiser_px {manifest.localiser_px!r}")
    if type(manifest.channels) is not int or manifest.channels not in (1, 3):
        raise ValueError(f"channels {manifest.channels!r}; it must be 1 (grey) or 3 (colour)")
    if not (math.isfinite(manifest.margin) and 0.0 <= manifest.margin <= 1.0):
        raise ValueError(f"margin {manifest.margin!r}")
    if not (type(manifest.new_share) is float and 0.0 < manifest.new_share < 1.0):
        raise ValueError(f"new_share {manifest.new_share!r}")
    if not all(0.0 <= share <= 1.0 for share in manifest.true_probabilities):
        raise ValueError("true_probabilities holds a number that is no probability")
    if len(set(manifest.classes)) < len(manifest.classes):
        raise ValueError("it names a class twice")
    if manifest.kind == "softmax" and len(manifest.classes) != manifest.embedding_size:
        raise ValueError(f"{len(manifest.classes)} classes, {manifest.embedding_size} outputs")
    return manifest
