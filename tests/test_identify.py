"""The main job from end to end, with a model whose answers can be foreseen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flukeprint.cache import Cache
from flukeprint.crops import crop
from flukeprint.drawn import draw_whale, photograph
from flukeprint.embed import embed_photos
from flukeprint.errors import FlukeprintError
from flukeprint.identify import identify
from flukeprint.model import Model, save_model
from flukeprint.network import Network
from flukeprint.records import NEW_WHALE, WHOLE, Fluke, LabelledPhoto, Table
from flukeprint.submission import five_labels
from flukeprint.tables import read_table
from tests.tiny import TINY, dark, localiser_onnx, make_picky_model, picture, softmax_onnx


@pytest.fixture
def network(tiny_model: Model) -> Network:
    return Network(tiny_model)


@pytest.fixture
def shoot(tmp_path: Path, write_picture: Callable[..., Path]) -> Callable[[int], Path]:
    """A photo of a seed's scene, lossless: the gallery has it as JPEG."""
    return lambda seed: write_picture(tmp_path / "queries" / f"{seed}.png", picture(seed))


def test_a_photo_of_a_known_whale_names_it_first(
    kaggle: Path, network: Network, shoot: Callable[[int], Path]
) -> None:
    table = read_table(kaggle)
    answers, failures = identify([shoot(4), shoot(7), shoot(3)], table, network)
    assert [answer.candidates[0].individual for answer in answers] == ["w_b", "w_c", "w_a"]
    assert answers[2].candidates[0].photos[0] == "3.jpg"
    for answer in answers:
        assert answer.new is not None
        assert answer.new < answer.candidates[0].probability
    assert failures == ()


def test_probabilities_of_all_whales_and_new_sum_to_one(
    kaggle: Path, network: Network, shoot: Callable[[int], Path]
) -> None:
    answers, _ = identify([shoot(seed) for seed in (1, 5, 42)], read_table(kaggle), network)
    for answer in answers:
        assert answer.new is not None
        assert len(answer.candidates) == 3
        total = sum(candidate.probability for candidate in answer.candidates) + answer.new
        assert total == pytest.approx(1.0)
        likeliest = [candidate.probability for candidate in answer.candidates]
        assert likeliest == sorted(likeliest, reverse=True)


def test_an_unidentified_photo_again_and_a_stranger_are_new(
    kaggle: Path, network: Network, shoot: Callable[[int], Path]
) -> None:
    answers, _ = identify([shoot(5), shoot(42)], read_table(kaggle), network)
    assert all(answer.new is not None and answer.new > 0.5 for answer in answers)
    assert all(NEW_WHALE not in {c.individual for c in answer.candidates} for answer in answers)


@pytest.mark.parametrize(("top", "named"), [(1, 1), (2, 2), (5, 3)])
def test_as_many_whales_as_asked_for(
    kaggle: Path, network: Network, shoot: Callable[[int], Path], top: int, named: int
) -> None:
    (answer,), _ = identify([shoot(1)], read_table(kaggle), network, top=top)
    assert len(answer.candidates) == named


def test_a_bad_photo_is_a_failure_on_that_photo(
    kaggle: Path, network: Network, shoot: Callable[[int], Path], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_text("no picture")
    answers, _ = identify([shoot(4), bad, shoot(7)], read_table(kaggle), network)
    assert [answer.failure is None for answer in answers] == [True, False, True]
    assert answers[1].photo == str(bad)
    assert answers[1].candidates == ()
    assert answers[1].new is None
    assert answers[2].candidates[0].individual == "w_c"


@pytest.fixture
def picky(tmp_path: Path) -> Network:
    """The tiny model, to which a black photo shows no fluke."""
    return Network(make_picky_model(tmp_path / "picky.fluke"))


@pytest.fixture
def sea(tmp_path: Path, write_picture: Callable[..., Path]) -> Path:
    """A photo without a fluke."""
    return write_picture(tmp_path / "sea.png", dark())


def test_a_photo_without_a_fluke_is_an_answer_and_not_matched(
    kaggle: Path, picky: Network, shoot: Callable[[int], Path], sea: Path
) -> None:
    missing = sea.with_name("missing.png")
    asked = [sea, shoot(4), missing, sea, shoot(7)]
    answers, failures = identify(asked, read_table(kaggle), picky)
    assert [answer.no_fluke for answer in answers] == [True, False, False, True, False]
    assert failures == ()
    for answer in (answers[0], answers[3]):
        assert (answer.candidates, answer.new, answer.failure) == ((), None, None)
        assert answer.look is not None
        assert answer.look.fluke.probability < 1e-6
        assert sorted(answer.guesses) == [NEW_WHALE, "w_a", "w_b", "w_c"]
        assert five_labels(answer, ("w_z",)) == [*answer.guesses, "w_z"]
    assert answers[1].guesses == answers[2].guesses == ()
    alone, _ = identify([asked[1], asked[4]], read_table(kaggle), picky)
    assert [answers[1].candidates[0].individual, answers[4].candidates[0].individual] == [
        "w_b", "w_c",
    ]  # fmt: skip
    for answer, other in zip((answers[1], answers[4]), alone, strict=True):
        assert answer.candidates[0].probability == pytest.approx(other.candidates[0].probability)
        assert answer.look == other.look


def test_only_photos_without_a_fluke_are_still_answers(
    kaggle: Path, picky: Network, sea: Path
) -> None:
    (answer,), _ = identify([sea], read_table(kaggle), picky)
    assert answer.no_fluke


def test_the_cache_remembers_that_there_was_no_fluke(
    kaggle: Path, picky: Network, sea: Path, shoot: Callable[[int], Path], tmp_path: Path
) -> None:
    told = [
        identify(
            [sea, shoot(4)], read_table(kaggle), picky, cache=Cache(tmp_path / "c", picky.model.id)
        )
        for _ in range(2)
    ]
    assert told[0] == told[1]
    assert told[1][0][0].no_fluke


def test_a_gallery_photo_without_a_fluke_is_kept(
    kaggle: Path, picky: Network, shoot: Callable[[int], Path], write_picture: Callable[..., Path]
) -> None:
    """Whoever labelled it saw one."""
    write_picture(kaggle / "train" / "4.jpg", dark())
    (answer,), failures = identify([shoot(1)], read_table(kaggle), picky)
    assert failures == ()
    assert "w_b" in {candidate.individual for candidate in answer.candidates}


def test_a_softmax_model_does_not_name_a_photo_without_a_fluke(
    kaggle: Path, tmp_path: Path, shoot: Callable[[int], Path], sea: Path
) -> None:
    crops = np.stack([crop(picture(seed), Fluke(WHOLE), 32, 64) for seed in (4, 1)])
    manifest = replace(TINY, kind="softmax", classes=("w_b", "w_a"), embedding_size=2)
    localiser = localiser_onnx(0, 0, 1, 1, shown=-50.0, light=1.0)
    model = save_model(manifest, softmax_onnx(crops), localiser, tmp_path / "s.fluke")
    (unseen, known), _ = identify([sea, shoot(1)], read_table(kaggle), Network(model))
    assert (unseen.no_fluke, unseen.candidates, unseen.new) == (True, (), None)
    assert known.candidates[0].individual == "w_a"


def test_every_answer_has_what_was_seen(
    kaggle: Path, network: Network, shoot: Callable[[int], Path]
) -> None:
    answers, _ = identify([shoot(4), Path("missing.jpg")], read_table(kaggle), network)
    look = answers[0].look
    assert look is not None
    assert look.fluke.box == WHOLE
    assert (look.quality.width_px, look.quality.height_px) == (96.0, 64.0)
    assert answers[1].look is None
    assert not answers[1].no_fluke


def test_only_bad_photos_is_still_an_answer(kaggle: Path, network: Network, tmp_path: Path) -> None:
    (answer,), _ = identify([tmp_path / "missing.jpg"], read_table(kaggle), network)
    assert answer.failure == "no such file"


def test_a_gallery_photo_that_cannot_be_read_is_told(
    kaggle: Path, network: Network, shoot: Callable[[int], Path]
) -> None:
    (kaggle / "train" / "4.jpg").write_text("no picture")
    (answer,), failures = identify([shoot(1)], read_table(kaggle), network)
    assert [failure.path.name for failure in failures] == ["4.jpg"]
    assert "w_b" not in {candidate.individual for candidate in answer.candidates}


def test_a_gallery_without_a_readable_photo_is_an_error(
    kaggle: Path, network: Network, shoot: Callable[[int], Path]
) -> None:
    for path in (kaggle / "train").iterdir():
        path.write_text("no picture")
    with pytest.raises(FlukeprintError, match="not one photo could be read"):
        identify([shoot(1)], read_table(kaggle), network)


def relabelled(kaggle: Path, *rows: tuple[str, str]) -> Table:
    folder = kaggle / "train"
    return Table(kaggle, tuple(LabelledPhoto(name, folder / name, who) for name, who in rows))


def test_two_labels_on_one_file_share_its_likeness(
    kaggle: Path, network: Network, shoot: Callable[[int], Path]
) -> None:
    table = relabelled(kaggle, ("4.jpg", "w_x"), ("4.jpg", "w_b"), ("7.jpg", "w_c"))
    (answer,), _ = identify([shoot(4)], table, network)
    first, second = answer.candidates[:2]
    assert (first.individual, second.individual) == ("w_b", "w_x")
    assert first.probability == second.probability


def test_one_whale_only(kaggle: Path, network: Network, shoot: Callable[[int], Path]) -> None:
    (same, other), _ = identify([shoot(4), shoot(7)], relabelled(kaggle, ("4.jpg", "w_b")), network)
    assert same.new is not None
    assert other.new is not None
    assert same.new < 0.1 < 0.9 < other.new


def test_a_gallery_of_unidentified_photos_only_says_new(
    kaggle: Path, network: Network, shoot: Callable[[int], Path]
) -> None:
    (answer,), _ = identify([shoot(5)], relabelled(kaggle, ("5.jpg", NEW_WHALE)), network)
    assert (answer.candidates, answer.new) == ((), 1.0)


def test_every_orientation_of_one_photo_is_one_photo(tmp_path: Path, network: Network) -> None:
    pixels = picture(3)
    stored = [
        pixels, pixels[:, ::-1], pixels[::-1, ::-1], pixels[::-1],
        pixels.T, pixels.T[::-1], pixels.T[::-1, ::-1], pixels.T[:, ::-1],
    ]  # fmt: skip
    paths = []
    for orientation, lying in enumerate(stored, start=1):
        exif = Image.Exif()
        exif[0x0112] = orientation
        paths.append(tmp_path / f"{orientation}.jpg")
        image = Image.fromarray(np.ascontiguousarray(lying))
        image.save(paths[-1], quality=95, exif=exif)
    vectors = embed_photos(paths, network).embeddings.vectors
    assert (vectors @ vectors.T).min() > 0.999


def test_the_gallery_is_embedded_once(
    kaggle: Path, network: Network, tiny_model: Model, tmp_path: Path,
    shoot: Callable[[int], Path], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    first = identify([shoot(4)], read_table(kaggle), network, cache=Cache(tmp_path, tiny_model.id))
    monkeypatch.setattr(network, "embed", lambda crops: pytest.fail("embedded again"))
    again = identify([shoot(4)], read_table(kaggle), network, cache=Cache(tmp_path, tiny_model.id))
    assert again == first


def test_a_softmax_model_answers_through_the_same_function(
    kaggle: Path, tiny_model: Model, shoot: Callable[[int], Path]
) -> None:
    seeds = {"w_b": 4, NEW_WHALE: 5, "w_a": 1, "w_unseen": 8}
    crops = np.stack([crop(picture(seed), Fluke(WHOLE), 32, 64) for seed in seeds.values()])
    manifest = replace(
        tiny_model.manifest, kind="softmax", classes=tuple(seeds), embedding_size=len(seeds)
    )
    model = replace(tiny_model, manifest=manifest, embedder=softmax_onnx(crops))
    answers, _ = identify([shoot(4), shoot(1), shoot(5)], read_table(kaggle), Network(model))
    assert [answer.candidates[0].individual for answer in answers[:2]] == ["w_b", "w_a"]
    assert {c.individual for c in answers[0].candidates} == {"w_a", "w_b", "w_unseen"}
    assert answers[1].candidates[0].photos == ("1.jpg", "2.jpg", "3.jpg")
    assert answers[2].new == max(answer.new or 0 for answer in answers)
    for answer in answers:
        total = sum(c.probability for c in answer.candidates) + (answer.new or 0)
        assert total == pytest.approx(1.0)


def test_a_colour_softmax_model_names_drawn_whales(
    tmp_path: Path, write_picture: Callable[..., Path]
) -> None:
    """From files on disk: each whale is taught by one photo and asked about by its JPEG."""
    names = ("d_a", "d_b", "d_c")
    taught = [photograph(draw_whale(seed), 0).pixels for seed in range(3)]
    rows = np.stack([np.moveaxis(crop(pixels, Fluke(WHOLE), 32, 64), -1, 0) for pixels in taught])
    manifest = replace(TINY, kind="softmax", classes=names, embedding_size=3, channels=3)
    model = save_model(
        manifest, softmax_onnx(rows), localiser_onnx(0, 0, 1, 1), tmp_path / "c.fluke"
    )
    asked = [
        write_picture(tmp_path / f"{name}.jpg", pixels, quality=95)
        for name, pixels in zip(names, taught, strict=True)
    ]
    table = Table(
        tmp_path,
        tuple(LabelledPhoto(f"{name}.jpg", tmp_path / f"{name}.jpg", name) for name in names),
    )
    answers, failures = identify(asked, table, Network(model))
    assert failures == ()
    assert [answer.candidates[0].individual for answer in answers] == list(names)
    assert answers[1].candidates[0].photos == ("d_b.jpg",)
    for answer in answers:
        total = sum(c.probability for c in answer.candidates) + (answer.new or 0)
        assert total == pytest.approx(1.0)
