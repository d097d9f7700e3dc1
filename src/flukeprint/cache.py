"""Embeddings kept on disk, keyed by the photo's hash (and box) and the model's id.

One folder per model holds shards that are never changed once written, so that two runs at a time
cannot spoil each other's work, and ``files.json``, which remembers the hash of a file whose size
and times have not changed since.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flukeprint.errors import FlukeprintError
from flukeprint.files import make_folder, write_bytes, write_text
from flukeprint.records import Box, Fluke, Look, Quality

MAX_SHARDS = 12
Stamp = list[int | str]
Known = tuple[NDArray[np.float32], Look]
"""What is kept of a photo: its (D,) float32 embedding and what was seen."""


def default_folder() -> Path:
    """The user's cache folder: ``$FLUKEPRINT_CACHE``, or where the platform keeps caches.

    Raises:
        FlukeprintError: the user has no home folder.
    """
    named = os.environ.get("FLUKEPRINT_CACHE")
    if named:
        return Path(named)
    try:
        return _users_caches() / "flukeprint"
    except RuntimeError:  # a user whom the system does not know, as in containers
        raise FlukeprintError(
            "you have no home folder to keep a cache in; name a folder with --cache or "
            "$FLUKEPRINT_CACHE"
        ) from None


def _users_caches() -> Path:
    if sys.platform == "win32":
        named = os.environ.get("LOCALAPPDATA")
        return Path(named) if named else Path.home() / "AppData/Local"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


class Cache:
    """What has been embedded before by one model. ``folder`` None keeps nothing on disk."""

    def __init__(self, folder: Path | None, model_id: str) -> None:
        self._folder = make_folder(folder / model_id[:16]) if folder else None
        self._model_id = model_id
        self._known: dict[str, Known] = {}
        self._fresh: dict[str, Known] = {}
        self._files: dict[str, list[int | str]] = {}
        self._files_changed = False
        self._shards: set[Path] = set()  # whose contents are known here: only those may be merged
        if self._folder:
            self._load(self._folder)

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._known

    def __getitem__(self, sha256: str) -> Known:
        return self._known[sha256]

    def add(self, sha256: str, vector: NDArray[np.float32], look: Look) -> None:
        """Keep the (D,) float32 embedding of one photo, and what was seen in it."""
        self._known[sha256] = self._fresh[sha256] = (vector, look)

    @property
    def unsaved(self) -> int:
        """How many embeddings :meth:`save` would write."""
        return len(self._fresh)

    def hash_of(self, path: Path) -> str | None:
        """The file's SHA-256 if it was hashed before and has not been touched since."""
        known = self._files.get(os.path.abspath(path))
        if known is None:
            return None
        return str(known[0]) if known[1:] == stamp_of(path) else None

    def remember(self, path: Path, sha256: str, stamp: Stamp | None) -> None:
        """Note a file's hash for :meth:`hash_of`; ``stamp`` was taken before the file was read."""
        if stamp is not None:
            self._files[os.path.abspath(path)] = [sha256, *stamp]
            self._files_changed = True

    def save(self) -> None:
        """Write what is new.

        Raises:
            FlukeprintError: the folder cannot be written to.
        """
        self.save_embeddings()
        if self._folder and self._files_changed:
            self._files_changed = False
            # A copy: threads that read ahead may add to it meanwhile.
            write_text(self._folder / "files.json", json.dumps(dict(self._files)))

    def save_embeddings(self) -> None:
        """Write new embeddings alone: all files' hashes are much to write again and again.

        Raises:
            FlukeprintError: the folder cannot be written to.
        """
        if not self._folder or not self._fresh:
            return
        self._write_shard(self._folder, self._fresh)
        self._fresh = {}
        if len(self._shards) > MAX_SHARDS:
            merged = self._shards
            self._shards = set()
            whole = self._write_shard(self._folder, self._known)
            for shard in merged - {whole}:
                shard.unlink(missing_ok=True)

    def _write_shard(self, folder: Path, known: dict[str, Known]) -> Path:
        packed = io.BytesIO()
        np.savez(
            packed,
            model_id=np.array(self._model_id),
            hashes=np.array(list(known)),
            vectors=np.stack([vector for vector, _ in known.values()]),
            looks=np.array([_numbers(look) for _, look in known.values()], dtype=np.float64),
        )
        name = hashlib.sha256(packed.getbuffer()).hexdigest()[:16]
        path = folder / f"{name}.npz"
        write_bytes(path, packed.getbuffer())
        self._shards.add(path)
        return path

    def _load(self, folder: Path) -> None:
        for shard in sorted(folder.glob("*.npz")):
            try:
                with np.load(shard, allow_pickle=False) as parts:
                    if str(parts["model_id"]) == self._model_id:
                        vectors = parts["vectors"].astype(np.float32, copy=False)
                        hashes = parts["hashes"].tolist()
                        looks = [_look(numbers) for numbers in parts["looks"].tolist()]
                        pairs = zip(vectors, looks, strict=True)
                        self._known.update(zip(hashes, pairs, strict=True))
                        self._shards.add(shard)
            except Exception:  # damage raises anything; its photos are embedded again
                continue
        try:
            files = json.loads((folder / "files.json").read_text(encoding="utf-8"))
            self._files = {path: known for path, known in files.items() if len(known) == 4}
        except (OSError, ValueError, TypeError, AttributeError):
            self._files = {}


def _numbers(look: Look) -> tuple[float, ...]:
    fluke, quality = look.fluke, look.quality
    return (
        *fluke.box.corners,
        *(fluke.probability, fluke.slope, float(fluke.upside_down), float(fluke.others)),
        *(quality.width_px, quality.height_px, quality.sharpness, quality.contrast),
        *(quality.tilt_deg, quality.value),
    )


def _look(numbers: list[float]) -> Look:
    """Undo :func:`_numbers`."""
    x0, y0, x1, y1, probability, slope, upside_down, others, *quality = numbers
    fluke = Fluke(Box(x0, y0, x1, y1), probability, slope, bool(upside_down), int(others))
    return Look(fluke, Quality(*quality))


def stamp_of(path: Path) -> Stamp | None:
    """What changes when a file is touched: its size and times; None where there is no file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]
