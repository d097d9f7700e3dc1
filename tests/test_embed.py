"""Photos to embeddings: in order, each once, and never twice."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from flukeprint import cache as cache_module
from flukeprint import embed as embed_module
from flukeprint import look as look_module
from flukeprint.cache import Cache, default_folder, stamp_of
from flukeprint.embed import embed_photos
from flukeprint.errors import FlukeprintError
from flukeprint.look import Shrunk
from flukeprint.model import Model
from flukeprint.network import Network
from flukeprint.photos import read_photo
from flukeprint.records import Box
from tests.tiny import Pixels, dark, make_model, make_picky_model, picture, seen, tinted


class Counting(Network):
    """Counts the crops it is asked to embed; may be stopped after some."""

    def __init__(self, model: Model, stop_after: int | None = None) -> None:
        super().__init__(model)
        self.embedded, self.stop_after = 0, stop_after

    def embed(self, crops: Sequence[Pixels]) -> NDArray[np.float32]:
        if self.stop_after is not None and self.embedded >= self.stop_after:
            raise KeyboardInterrupt
        self.embedded += len(crops)
        return super().embed(crops)


@pytest.fixture
def photos(tmp_path: Path, write_picture: Callable[..., Path]) -> list[Path]:
    """Ten different photos."""
    return [
        write_picture(tmp_path / "photos" / f"{number}.png", picture(number))
        for number in range(10)
    ]


@pytest.fixture
def colour_model(tmp_path: Path) -> Model:
    """The tiny model of three channels: 64 numbers of each."""
    return make_model(tmp_path / "colour.fluke", channels=3, embedding_size=192)


def test_the_order_of_paths_is_kept(photos: list[Path], tiny_model: Model) -> None:
    network = Network(tiny_model)
    forth, back = embed_photos(photos, network), embed_photos(photos[::-1], network)
    assert forth.places.tolist() == list(range(10))
    assert forth.embeddings.vectors == pytest.approx(back.embeddings.vectors[::-1], abs=1e-6)
    alone = embed_photos(photos[4:5], network).embeddings
    assert alone.vectors[0] == pytest.approx(forth.embeddings.vectors[4], abs=1e-6)
    assert alone.hashes == forth.embeddings.hashes[4:5]


def test_each_embedding_has_its_look(
    photos: list[Path], tmp_path: Path, write_picture: Callable[..., Path]
) -> None:
    """Also of a copy, of a photo without a fluke, and from the cache."""
    model = make_picky_model(tmp_path / "picky.fluke")
    black = write_picture(tmp_path / "black.png", dark(48, 32))
    bad = tmp_path / "missing.png"
    asked = [photos[0], black, bad, photos[1], black, photos[0]]
    for _ in range(2):
        done = embed_photos(asked, Network(model), Cache(tmp_path / "cache", model.id))
        assert done.places.tolist() == [0, 1, 3, 4, 5]
        assert [look.fluke.seen for look in done.looks] == [True, False, True, False, True]
        assert [look.quality.width_px for look in done.looks] == [96, 48, 96, 48, 96]
        assert (done.looks[0], done.looks[1]) == (done.looks[4], done.looks[3])
        assert len(done.embeddings.vectors) == 5


def test_copies_are_embedded_once(
    photos: list[Path], tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look_module, "BATCH", 4)
    copy = Path(shutil.copy(photos[0], photos[0].with_name("copy.png")))
    network = Counting(tiny_model)
    done = embed_photos([*photos, copy, photos[0]], network)
    assert network.embedded == 10
    assert (done.embeddings.vectors[[10, 11]] == done.embeddings.vectors[0]).all()


def test_failures_are_in_their_places_and_the_rest_is_answered(
    photos: list[Path], tiny_model: Model, tmp_path: Path
) -> None:
    (tmp_path / "bad.jpg").write_text("no picture")
    told: list[int] = []
    paths = [tmp_path / "bad.jpg", *photos[:2], tmp_path / "missing.jpg", photos[2]]
    done = embed_photos(paths, Network(tiny_model), progress=told.append)
    assert done.places.tolist() == [1, 2, 4]
    assert {place: failure.path for place, failure in done.failures.items()} == {
        0: paths[0], 3: paths[3],
    }  # fmt: skip
    assert sum(told) == 5


def test_nothing_asked_nothing_embedded(tiny_model: Model) -> None:
    assert embed_photos([], Network(tiny_model)).embeddings.vectors.shape == (0, 64)


def test_an_embedding_that_is_no_number_is_a_failure_on_that_photo(
    photos: list[Path], tiny_model: Model
) -> None:
    class Broken(Network):
        def embed(self, crops: Sequence[Pixels]) -> NDArray[np.float32]:
            vectors = super().embed(crops)
            vectors[1] = np.nan
            return vectors

    done = embed_photos(photos[:3], Broken(tiny_model))
    assert done.places.tolist() == [0, 2]
    assert "not a number" in done.failures[1].reason


def test_a_second_run_embeds_only_what_is_new(
    photos: list[Path], tiny_model: Model, tmp_path: Path
) -> None:
    first, second = Counting(tiny_model), Counting(tiny_model)
    one = embed_photos(photos[:8], first, Cache(tmp_path / "cache", tiny_model.id))
    two = embed_photos(photos, second, Cache(tmp_path / "cache", tiny_model.id))
    assert (first.embedded, second.embedded) == (8, 2)
    assert (two.embeddings.vectors[:8] == one.embeddings.vectors).all()


def test_a_known_photo_is_not_even_read(
    photos: list[Path], tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed_photos(photos, Network(tiny_model), Cache(tmp_path / "cache", tiny_model.id))
    monkeypatch.setattr(embed_module, "read_photo", lambda path: pytest.fail(f"{path} was read"))
    embed_photos(photos, Network(tiny_model), Cache(tmp_path / "cache", tiny_model.id))


def test_a_touched_file_is_read_again(
    photos: list[Path], tiny_model: Model, tmp_path: Path, write_picture: Callable[..., Path]
) -> None:
    embed_photos(photos[:2], Network(tiny_model), Cache(tmp_path / "cache", tiny_model.id))
    write_picture(photos[0], picture(99))
    os.utime(photos[0], ns=(1, 1))
    network = Counting(tiny_model)
    done = embed_photos(photos[:2], network, Cache(tmp_path / "cache", tiny_model.id))
    assert network.embedded == 1
    fresh = embed_photos(photos[:2], Network(tiny_model))
    assert done.embeddings.hashes == fresh.embeddings.hashes


def test_a_photo_replaced_while_it_is_read_is_not_remembered_wrongly(
    photos: list[Path], tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its hash belongs to the bytes that were read, not to the file that lies there now."""

    def swap(path: Path) -> object:
        found = read_photo(path)
        shutil.copy(photos[1], path)
        return found

    monkeypatch.setattr(embed_module, "read_photo", swap)
    kept = Cache(tmp_path / "cache", tiny_model.id)
    embed_photos(photos[:1], Network(tiny_model), kept)
    assert kept.hash_of(photos[0]) is None


def test_an_interrupted_run_keeps_what_was_done(
    photos: list[Path], tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look_module, "BATCH", 2)
    with pytest.raises(KeyboardInterrupt):
        embed_photos(photos, Counting(tiny_model, 6), Cache(tmp_path / "cache", tiny_model.id))
    network = Counting(tiny_model)
    embed_photos(photos, network, Cache(tmp_path / "cache", tiny_model.id))
    assert network.embedded == 4


def test_another_models_cache_is_not_used(
    photos: list[Path], tiny_model: Model, tmp_path: Path
) -> None:
    embed_photos(photos, Network(tiny_model), Cache(tmp_path / "cache", tiny_model.id))
    other = replace(tiny_model, id=tiny_model.id[:16] + "0" * 48)  # even in the same folder
    network = Counting(other)
    embed_photos(photos, network, Cache(tmp_path / "cache", other.id))
    assert network.embedded == 10


def test_a_photo_with_a_box_is_kept_beside_itself(
    photos: list[Path], tiny_model: Model, tmp_path: Path
) -> None:
    """Each box makes another embedding, made once; none takes the place of the model's own."""
    sha256 = embed_photos(photos[:1], Network(tiny_model)).embeddings.hashes[0]
    asked: list[dict[str, Box]] = [{}, *({sha256: Box(0.0, 0.0, x1, 1.0)} for x1 in (0.5, 0.6))]

    def vectors(network: Network) -> list[list[float]]:
        cache = Cache(tmp_path / "cache", tiny_model.id)
        made = [embed_photos(photos[:2], network, cache, boxes=boxes) for boxes in asked]
        assert {one.embeddings.hashes[0] for one in made} == {sha256}
        return [one.embeddings.vectors[0].tolist() for one in made]

    first, second = Counting(tiny_model), Counting(tiny_model)
    own, half, more = vectors(first)
    assert own != half != more != own
    assert vectors(second) == [own, half, more]
    assert (first.embedded, second.embedded) == (4, 0)


def shards(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.npz"))


@pytest.mark.parametrize("damage", ["cut", "empty", "flip", "text"])
def test_a_damaged_shard_is_passed_over(
    photos: list[Path], tiny_model: Model, tmp_path: Path, damage: str
) -> None:
    folder = tmp_path / "cache"
    embed_photos(photos, Network(tiny_model), Cache(folder, tiny_model.id))
    (shard,) = shards(folder)
    whole = shard.read_bytes()
    middle = len(whole) // 2
    shard.write_bytes({
        "cut": whole[:middle],
        "empty": b"",
        "flip": whole[:middle] + b"\xff" * 8 + whole[middle + 8 :],
        "text": b"hello",
    }[damage])  # fmt: skip
    network = Counting(tiny_model)
    embed_photos(photos, network, Cache(folder, tiny_model.id))
    assert network.embedded == 10
    assert len(Cache(folder, tiny_model.id)._known) == 10


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": 3}', '{"a": []}', "3", "null"])
def test_a_damaged_list_of_files_is_passed_over(
    photos: list[Path], tiny_model: Model, tmp_path: Path, text: str
) -> None:
    folder = tmp_path / "cache"
    embed_photos(photos, Network(tiny_model), Cache(folder, tiny_model.id))
    (folder / tiny_model.id[:16] / "files.json").write_text(text)
    network = Counting(tiny_model)
    embed_photos(photos, network, Cache(folder, tiny_model.id))
    assert network.embedded == 0


def some(number: int) -> NDArray[np.float32]:
    return np.full(4, number, dtype=np.float32)


def test_many_shards_are_merged_and_nothing_is_lost(tmp_path: Path) -> None:
    kept = Cache(tmp_path, "m")
    for number in range(40):
        kept.add(f"{number}", some(number), seen())
        kept.save()
    assert len(shards(tmp_path)) <= cache_module.MAX_SHARDS + 1
    again = Cache(tmp_path, "m")
    assert all((again[f"{number}"][0] == number).all() for number in range(40))


def test_two_runs_at_once_lose_nothing_of_each_other(tmp_path: Path) -> None:
    one, other = Cache(tmp_path, "m"), Cache(tmp_path, "m")
    for number in range(30):
        one.add(f"one {number}", some(number), seen())
        other.add(f"other {number}", some(number), seen())
        one.save()
        other.save()
    again = Cache(tmp_path, "m")
    assert all(f"{who} {n}" in again for who in ("one", "other") for n in range(30))


def test_files_may_be_remembered_while_the_cache_is_saved(tmp_path: Path) -> None:
    kept, stop = Cache(tmp_path, "m"), threading.Event()

    def remember() -> None:
        for number in range(50_000):
            if stop.is_set():
                break
            kept.remember(Path(f"{number}.jpg"), "0", [1, 2, 3])

    thread = threading.Thread(target=remember)
    thread.start()
    try:
        for number in range(10):
            kept.remember(Path(f"own {number}.jpg"), "0", [1, 2, 3])
            kept.save()
    finally:
        stop.set()
        thread.join()
    kept.save()
    names = json.loads((tmp_path / "m" / "files.json").read_text())
    assert {str(Path(f"own {number}.jpg").absolute()) for number in range(10)} <= names.keys()


def test_undecodable_paths_are_remembered(tmp_path: Path) -> None:
    path = tmp_path / "\udcff.jpg"
    kept = Cache(tmp_path / "cache", "m")
    kept.remember(path, "hash", [1, 2, 3])
    kept.save()
    assert stamp_of(path) is None
    assert Cache(tmp_path / "cache", "m").hash_of(path) is None


def test_a_cache_that_cannot_be_written_is_one_clear_error(
    photos: list[Path], tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Cache(tmp_path / "cache", tiny_model.id)

    def refuse(**options: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkstemp", refuse)  # root writes whatever the mode says
    with pytest.raises(FlukeprintError, match="cannot be written: Permission denied"):
        embed_photos(photos, Network(tiny_model), kept)


def test_a_cache_in_place_of_a_file_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    with pytest.raises(FlukeprintError, match="cannot make this folder"):
        Cache(tmp_path / "cache", "m")


def test_the_cache_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLUKEPRINT_CACHE", str(tmp_path))
    assert default_folder() == tmp_path
    monkeypatch.delenv("FLUKEPRINT_CACHE")
    assert default_folder().name == "flukeprint"


def test_without_a_home_folder_one_is_to_be_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    for name in ("FLUKEPRINT_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(FlukeprintError, match=r"no home folder .* --cache or \$FLUKEPRINT_CACHE"):
        default_folder()
    monkeypatch.setenv("FLUKEPRINT_CACHE", str(tmp_path))
    assert default_folder() == tmp_path


def test_colour_tells_apart_what_grey_cannot(
    tmp_path: Path, tiny_model: Model, colour_model: Model, write_picture: Callable[..., Path]
) -> None:
    # A red and a blue that weigh the same in grey: 0.299 x 97 = 0.114 x 255.
    red, blue = np.zeros((2, 64, 96, 3), dtype=np.uint8)
    red[:, 48:, 0], blue[:, 48:, 2] = 97, 255
    paths = [
        write_picture(tmp_path / f"{name}.png", pixels)
        for name, pixels in (("red", red), ("blue", blue))
    ]
    grey = embed_photos(paths, Network(tiny_model)).embeddings.vectors
    colour = embed_photos(paths, Network(colour_model)).embeddings.vectors
    assert (grey.shape, colour.shape) == ((2, 64), (2, 192))
    assert (grey[0] == grey[1]).all()
    assert colour[0] @ colour[1] < 0.1


def test_a_large_colour_photo_is_made_smaller_as_each_channel_of_it(
    tmp_path: Path, colour_model: Model, write_picture: Callable[..., Path]
) -> None:
    small = tinted(1, 0.9, 0.5, 0.2)
    large = small.repeat(9, axis=0).repeat(11, axis=1)  # 576 x 1056: halved to 4 x 64 px and more
    paths = [
        write_picture(tmp_path / f"{name}.png", pixels)
        for name, pixels in (("small", small), ("large", large))
    ]
    network = Network(colour_model)
    read = embed_module._read(paths[1], network, Cache(None, "m"))
    assert isinstance(read, Shrunk)
    assert (read.pixels.shape, read.squashed.shape) == ((144, 264, 3), (16, 16))
    vectors = embed_photos(paths, network).embeddings.vectors
    assert vectors[0] @ vectors[1] > 0.999


@pytest.mark.parametrize("channels", [1, 3])
def test_a_panorama_is_kept_small(
    tmp_path: Path,
    tiny_model: Model,
    colour_model: Model,
    write_picture: Callable[..., Path],
    channels: int,
) -> None:
    path = write_picture(tmp_path / "wide.png", np.zeros((300, 9_000), dtype=np.uint8))
    network = Network(tiny_model if channels == 1 else colour_model)
    read = embed_module._read(path, network, Cache(None, "m"))
    assert isinstance(read, Shrunk)
    most = (2 * look_module.DETAIL) ** 2 * 32 * 64 * channels
    assert read.pixels.nbytes <= most


@pytest.mark.parametrize(("channels", "batches"), [(1, [3, 3, 3, 1]), (3, [1] * 10)])
def test_large_photos_make_smaller_batches(
    photos: list[Path],
    tiny_model: Model,
    colour_model: Model,
    monkeypatch: pytest.MonkeyPatch,
    channels: int,
    batches: list[int],
) -> None:
    sizes: list[int] = []

    class Sizing(Network):
        def embed(self, crops: Sequence[Pixels]) -> NDArray[np.float32]:
            sizes.append(len(crops))
            return super().embed(crops)

    monkeypatch.setattr(look_module, "WAITING_BYTES", 2 * 96 * 64)
    embed_photos(photos, Sizing(tiny_model if channels == 1 else colour_model))
    assert sizes == batches
