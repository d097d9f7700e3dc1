"""The command line as a user meets it: exit codes, one line for an error, what goes where."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import pytest
from PIL import Image

from flukeprint import cli
from flukeprint.crops import crop, evened
from flukeprint.model import Model, save_model
from flukeprint.records import Box, Fluke
from tests.conftest import ROOT, Call
from tests.tiny import TINY, dark, embedder_onnx, localiser_onnx, make_picky_model, picture

SEEN = ("box", "fluke", "quality", "upside_down", "tilt_deg", "other_flukes")
Write = Callable[..., Path]


def run(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "FLUKEPRINT_CACHE": ""}
    return subprocess.run(
        [sys.executable, "-m", "flukeprint", *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment,
        cwd=cwd,
        timeout=120,
        check=False,
    )


@pytest.fixture
def model_path(tiny_model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model's file."""
    return next(tmp_path_factory.getbasetemp().glob("model*/tiny.fluke"))


@pytest.fixture
def identified(kaggle: Path, model_path: Path, tmp_path: Path) -> list[object]:
    """Arguments that identify the small collection's own photos."""
    return [
        "identify", kaggle / "train", "--gallery", kaggle,
        "--model", model_path, "--cache", tmp_path / "cache",
    ]  # fmt: skip


def test_identify_prints_json_lines_and_exits_with_0(identified: list[object], call: Call) -> None:
    code, out, _ = call(*identified, "--json", "--top", 2)
    answers = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    keys = {"photo", *SEEN, "candidates", "new", "error"}
    assert all(set(a) == keys for a in answers)
    assert all(a["box"] == [0, 0, 96, 64] and a["fluke"] > 0.99 for a in answers)
    assert all(len(a["candidates"]) == 2 and a["error"] is None for a in answers)


def test_a_gallery_of_seasons_is_noted(
    folders: Path, model_path: Path, tmp_path: Path, call: Call
) -> None:
    """Names come to a terminal as text."""
    (folders / "w_a").rename(tmp_path / "Ve\x1bga")
    (folders / "w_a").mkdir()
    (tmp_path / "Ve\x1bga").rename(folders / "w_a" / "Ve\x1bga")
    code, _, err = call(
        "identify", folders / "w_b", "--gallery", folders,
        "--model", model_path, "--cache", tmp_path / "cache",
    )  # fmt: skip
    said = r"photos in 'w_a/Ve\x1bga' count as of whale 'w_a'; if 'Ve\x1bga' is the whale"
    assert (code, said in err, "\x1b" in err) == (0, True, False)


def test_one_bad_photo_is_told_and_the_exit_code_is_1(
    identified: list[object], kaggle: Path, tmp_path: Path, call: Call
) -> None:
    bad = tmp_path / "note.jpg"
    bad.write_text("this is no picture")
    submission = tmp_path / "out.csv"
    code, out, _ = call(*identified, bad, "--json", "--kaggle", submission)
    answers = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    assert [a["photo"] for a in answers if a["error"]] == [str(bad)]
    rows = submission.read_text().splitlines()
    assert len(rows) == 1 + len(answers)
    assert next(row for row in rows if row.startswith("note.jpg,")).split(",")[1].split()[0] == (
        "new_whale"
    )


@pytest.fixture
def picky_path(tmp_path: Path) -> Path:
    """The file of a tiny model to which a black photo shows no fluke."""
    make_picky_model(tmp_path / "picky.fluke")
    return tmp_path / "picky.fluke"


def test_a_photo_without_a_fluke_is_an_answer_everywhere(
    kaggle: Path, picky_path: Path, write_picture: Write, tmp_path: Path, call: Call
) -> None:
    """Exit code 0, and named in the table, JSON, CSV, competition file and sheet."""
    photos = [
        write_picture(tmp_path / "asked" / "fluke.png", picture(4)),
        write_picture(tmp_path / "asked" / "sea.png", dark()),
    ]
    common = ["identify", *photos, "--gallery", kaggle, "--model", picky_path,
              "--cache", tmp_path / "cache"]  # fmt: skip
    names = [tmp_path / name for name in ("a.csv", "k.csv", "s.html")]
    written = ["--csv", names[0], "--kaggle", names[1], "--sheet", names[2]]
    code, table, _ = call(*common, *written)
    assert code == 0
    assert f"{photos[1]}: no fluke seen" in table.splitlines()
    assert table.splitlines()[-1] == "2 photos: 1 likely known, 0 likely new, 1 no fluke"
    with names[0].open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert (rows[0]["fluke"], rows[0]["answer_1"]) == ("1.0", "w_b")
    assert (rows[1]["fluke"], rows[1]["new"], rows[1]["answer_1"]) == ("0.0", "", "")
    assert rows[1]["error"] == ""
    # The most photographed whales follow: w_a has three photos, w_b and w_c one each.
    assert names[1].read_text().splitlines()[2] == "sea.png,new_whale w_a w_b w_c"
    assert "No fluke seen: not compared" in names[2].read_text(encoding="utf-8")
    code, out, _ = call(*common, "--json")
    known, sea = map(json.loads, out.splitlines())
    assert code == 0
    assert (known["box"], known["candidates"][0]["individual"]) == ([0, 0, 96, 64], "w_b")
    assert (sea["box"], sea["candidates"], sea["new"], sea["error"]) == (None, [], None, None)


@pytest.fixture
def tilting_path(tmp_path: Path) -> Path:
    """The file of a tiny model that sees one tilted fluke upside down in every photo."""
    localiser = localiser_onnx(0.25, 0.125, 0.75, 0.625, slope=0.25, upside_down=9.0)
    save_model(TINY, embedder_onnx(), localiser, tmp_path / "tilting.fluke")
    return tmp_path / "tilting.fluke"


def lines_of(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def test_crop_tells_what_is_seen_in_pixels_of_the_upright_photo(
    tilting_path: Path, write_picture: Write, tmp_path: Path, call: Call
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the photo is 64 wide and 96 high
    photos = [
        write_picture(tmp_path / "flat.png", picture(1)),
        write_picture(tmp_path / "turned.jpg", picture(1), exif=exif),
        write_picture(tmp_path / "large.jpg", picture(1, 1_920, 1_280)),
    ]
    code, out, _ = call("crop", *photos, "--model", tilting_path, "--json")
    output = lines_of(out)
    assert code == 0
    assert [line["photo"] for line in output] == [str(path) for path in photos]
    assert all(set(line) == {"photo", *SEEN, "crop", "error"} for line in output)
    assert [line["box"] for line in output] == [
        [24, 8, 72, 40], [16, 12, 48, 60], [480, 160, 1_440, 800],
    ]  # fmt: skip
    wide, high = (np.degrees(np.arctan(0.25 * ratio)) for ratio in (64 / 96, 96 / 64))
    assert [line["tilt_deg"] for line in output] == pytest.approx([wide, high, wide], abs=0.01)
    assert all(line["upside_down"] is True and line["other_flukes"] == 0 for line in output)
    assert all(line["crop"] is None and line["error"] is None for line in output)
    assert all(0 < line["quality"] <= 1 for line in output)


def test_crop_tells_a_broken_photo_from_one_without_a_fluke(
    picky_path: Path, write_picture: Write, tmp_path: Path, call: Call
) -> None:
    folder, out_folder = tmp_path / "photos", tmp_path / "out"
    write_picture(folder / "fluke.png", picture(1))
    write_picture(folder / "sea.png", dark())
    common = ["crop", folder, "--model", picky_path, "--out", out_folder]
    code, out, _ = call(*common, "--json")
    fluke, sea = lines_of(out)
    assert code == 0
    assert (fluke["box"], fluke["crop"]) == ([0, 0, 96, 64], str(out_folder / "fluke.png"))
    assert (sea["box"], sea["crop"], sea["error"]) == (None, None, None)
    assert sea["fluke"] < 0.5
    assert [path.name for path in out_folder.iterdir()] == ["fluke.png"]
    (folder / "bad.jpg").write_text("no picture")
    code, out, _ = call(*common, "--json")
    bad, *_ = lines_of(out)
    assert code == 1
    assert "not a picture" in bad.pop("error")
    assert bad.pop("photo") == str(folder / "bad.jpg")
    assert set(bad.values()) == {None}
    code, out, _ = call(*common)
    assert code == 1
    assert [line.removeprefix(f"{folder}{os.sep}")[:14] for line in out.splitlines()] == [
        "bad.jpg: not a", "fluke.png  flu", "sea.png  no fl",
    ]  # fmt: skip


def test_crop_writes_what_the_model_sees(
    tilting_path: Path, write_picture: Write, tmp_path: Path, call: Call
) -> None:
    photos = [write_picture(tmp_path / name / "1.png", picture(k)) for k, name in enumerate("ab")]
    out = tmp_path / "deep" / "out"
    assert call("crop", *photos, "--model", tilting_path, "--out", out)[0] == 0
    assert sorted(path.name for path in out.iterdir()) == ["1-2.png", "1.png"]
    fluke = Fluke(Box(0.25, 0.125, 0.75, 0.625), slope=0.25, upside_down=True)
    for number, name in enumerate(("1.png", "1-2.png")):
        with Image.open(out / name) as image:
            assert image.format == "PNG"
            wanted = evened(crop(picture(number), fluke, 32, 64))
            assert (np.asarray(image) == wanted).all()


@pytest.fixture
def cropping(model_path: Path, call: Call) -> Call:
    """Crops with the tiny model."""
    return partial(call, "crop", "--model", model_path)


def test_crop_never_writes_over_a_photo(
    cropping: Call, write_picture: Write, tmp_path: Path
) -> None:
    """Neither where its own folder is named, by another way, nor in other letters."""
    folder = tmp_path / "photos"
    for name, seed in (("a.png", 1), ("b.jpg", 2), ("B.PNG", 3)):
        write_picture(folder / name, picture(seed))
    before = {path: path.read_bytes() for path in folder.iterdir()}
    (tmp_path / "link").symlink_to(folder)
    for out in (folder, tmp_path / "link", tmp_path / "other" / ".." / "photos"):
        (tmp_path / "other").mkdir(exist_ok=True)
        code, output, _ = cropping(*before, "--out", out, "--json")
        assert code == 0
        assert {path: path.read_bytes() for path in before} == before
        crops = {Path(line["crop"]).name.lower() for line in lines_of(output)}
        assert crops == {"a-2.png", "b-2.png", "b-3.png"}
        for path in set(folder.iterdir()) - set(before):
            path.unlink()


def test_crop_never_writes_over_a_photo_that_was_not_asked_about(
    cropping: Call, write_picture: Write, tmp_path: Path
) -> None:
    """The camera wrote one picture, somebody else another of the same name beside it."""
    asked = write_picture(tmp_path / "IMG_1.jpg", picture(1))
    other = write_picture(tmp_path / "IMG_1.png", picture(2))
    before = other.read_bytes()
    code, output, _ = cropping(asked, "--out", tmp_path, "--json")
    assert code == 0
    assert [line["crop"] for line in lines_of(output)] == [str(tmp_path / "IMG_1-2.png")]
    assert other.read_bytes() == before


def test_crop_never_writes_over_a_photo_that_is_linked_to(
    cropping: Call, write_picture: Write, tmp_path: Path
) -> None:
    """The photo asked about is a link to one in the folder for the crops."""
    photo = write_picture(tmp_path / "out" / "a.png", picture(1))
    before = photo.read_bytes()
    (tmp_path / "asked").mkdir()
    (tmp_path / "asked" / "a.png").symlink_to(photo)
    asked = tmp_path / "asked"
    assert cropping(asked, "--out", photo.parent)[0] == 0
    assert photo.read_bytes() == before
    assert sorted(path.name for path in photo.parent.iterdir()) == ["a-2.png", "a.png"]


def test_crop_numbers_its_file_where_somebody_elses_has_the_name(
    cropping: Call, write_picture: Write, tmp_path: Path
) -> None:
    """The folder holds none of the photos asked about, but pictures of its owner."""
    photo = write_picture(tmp_path / "photos" / "a.jpg", picture(1))
    mine = write_picture(tmp_path / "mine" / "a.png", picture(2))
    before = mine.read_bytes()
    for _ in range(2):  # and its own crop again
        cropping(photo, "--out", mine.parent)
        assert sorted(path.name for path in mine.parent.iterdir()) == ["a-2.png", "a.png"]
        assert mine.read_bytes() == before


def test_crop_again_writes_the_same_names(
    cropping: Call, write_picture: Write, tmp_path: Path
) -> None:
    photo = write_picture(tmp_path / "photos" / "a.jpg", picture(1))
    out = tmp_path / "out"
    for _ in range(2):
        cropping(photo, "--out", out)
        assert [path.name for path in out.iterdir()] == ["a.png"]
    shutil.rmtree(out)
    cropping(photo)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["photos"]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["crop", "nothing.jpg"], "nothing.jpg"),
        (["crop", "{kaggle}/train", "--model", "{kaggle}/train.csv"], "train.csv"),
        (["crop", "{kaggle}/train", "--model", "{model}", "--out", "{kaggle}/train.csv"],
         "train.csv"),
        (["identify", "nothing.jpg", "--gallery", "{kaggle}"], "nothing.jpg"),
        (["identify", "{kaggle}/train", "--gallery", "nowhere"], "nowhere"),
        (["identify", "{kaggle}/train", "--gallery", "{kaggle}", "--model", "{kaggle}/train.csv"],
         "train.csv"),
        (["identify", "{kaggle}/train", "--gallery", "{kaggle}", "--model", "{model}",
          "--device", "cuda"], "CUDA"),
        (["identify", "{kaggle}/train", "--gallery", "{kaggle}", "--model", "{model}",
          "--device", "abacus"], "abacus"),
        (["explore", "{kaggle}/train", "--out", "{tmp}/x"], "train"),
        (["split", "{kaggle}", "--protocol", "kfold", "--out", "."], ".: a folder"),
        (["split", "{kaggle}", "--protocol", "by-mood", "--out", "{tmp}/s.json"], "by-mood"),
        (["export", "{kaggle}", "--out", "{tmp}/m.fluke"], "kaggle"),
        (["evaluate", "{model}"], "--data"),
        (["evaluate", "nowhere"], "nowhere"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str], word: str, kaggle: Path, model_path: Path, tmp_path: Path, call: Call
) -> None:
    if arguments[0] == "export":
        pytest.importorskip("torch", reason="exporting needs the training extra")
    filled = [a.format(kaggle=kaggle, model=model_path, tmp=tmp_path) for a in arguments]
    code, out, err = call(*filled)
    assert code == 2
    assert out == ""
    assert err.startswith("flukeprint: ")
    assert err.count("\n") == 1
    assert word in err
    assert not (tmp_path / "s.json").exists()
    assert not (tmp_path / "m.fluke").exists()


def test_an_unknown_option_is_exit_code_2(capsys: pytest.CaptureFixture[str], call: Call) -> None:
    code, _, err = call("identify", "--colour")
    assert code == 2
    assert "--colour" in err


def test_training_without_torch_says_what_to_install(
    kaggle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Call
) -> None:
    for name in [name for name in sys.modules if name.startswith("flukeprint.training")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    code, _, err = call("train", kaggle, "--out", tmp_path / "run")
    assert code == 2
    assert "pip install '.[train]'" in err
    assert not (tmp_path / "run").exists()


def test_the_gallery_is_never_written_to(
    identified: list[object], kaggle: Path, call: Call
) -> None:
    before = sorted(path for path in kaggle.rglob("*"))
    assert call(*identified)[0] == 0
    assert sorted(path for path in kaggle.rglob("*")) == before


def all_commands(group: click.Group, before: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command with its whole name, those of groups too."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{before}{name}", command
        if isinstance(command, click.Group):
            yield from all_commands(command, f"{before}{name} ")


def test_every_command_is_documented() -> None:
    assert {"catalogue", "catalogue undo"} <= {name for name, _ in all_commands(cli.cli)}
    reference = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    for name, command in all_commands(cli.cli):
        title = name if f"\n## {name}\n" in reference else name.partition(" ")[0]
        assert f"\n## {title}\n" in reference
        section = reference.split(f"\n## {title}\n")[1].split("\n## ")[0]
        for parameter in command.params:
            for option in (o for o in parameter.opts if o.startswith("--")):
                assert option in section, f"{name} {option} is not in docs/reference.md"


def test_help_in_a_process_of_its_own() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert "identify" in done.stdout
    assert run("--version").stdout.startswith("flukeprint, version ")


def test_a_reader_that_goes_away_is_no_crash(
    kaggle: Path, model_path: Path, tmp_path: Path
) -> None:
    command = (
        f"'{sys.executable}' -m flukeprint identify '{kaggle / 'train'}' --gallery '{kaggle}' "
        f"--model '{model_path}' --cache '{tmp_path / 'c'}' --json | head -c 1"
    )
    done = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        timeout=120,
        check=False,
    )
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("option", ["--csv", "--kaggle", "--sheet"])
def test_results_never_replace_what_is_read(
    option: str, paths_csv: Path, kaggle: Path, model_path: Path, tmp_path: Path, call: Call
) -> None:
    photo = kaggle / "train" / "1.jpg"
    model = Path(shutil.copy(model_path, tmp_path / "my.fluke"))
    common = ["identify", photo, "--gallery", paths_csv, "--model", model,
              "--cache", tmp_path / "cache"]  # fmt: skip
    for target in (paths_csv, photo, model):
        before = target.read_bytes()
        code, _, err = call(*common, option, target)
        assert (code, target.read_bytes()) == (2, before)
        assert str(target) in err
    other = "--kaggle" if option == "--csv" else "--csv"
    same = tmp_path / "same"
    assert call(*common, option, same, other, same)[0] == 2
    assert not same.exists()
    mine = tmp_path / "mine.csv"
    mine.write_text("photo;whale\n")
    code, _, err = call(*common, option, mine)
    assert (code, mine.read_text()) == (2, "photo;whale\n")
    assert f"{option} {mine}: another kind of file is there; delete it" in err
    for _ in range(2):  # its own it writes again
        assert call(*common, option, same)[0] == 0


def test_a_split_never_replaces_the_list_of_labels(
    paths_csv: Path, kaggle: Path, call: Call
) -> None:
    for data, listing in ((paths_csv, paths_csv), (kaggle, kaggle / "train.csv")):
        before = listing.read_bytes()
        code, _, err = call("split", data, "--out", listing)
        assert (code, listing.read_bytes()) == (2, before)
        assert f"{listing}: this file is read" in err


def test_the_competitions_file_is_refused_before_the_work(
    folders: Path, model_path: Path, tmp_path: Path, call: Call
) -> None:
    (folders / "w_a").rename(folders / "Old Tom")
    outputs = [tmp_path / "out.csv", tmp_path / "sheet.html", tmp_path / "k.csv"]
    asked = ["identify", folders / "w_b", "--gallery", folders, "--model", model_path,
             "--cache", tmp_path / "cache"]  # fmt: skip
    where = ["--csv", outputs[0], "--sheet", outputs[1], "--kaggle", outputs[2]]
    code, out, err = call(*asked, *where)
    assert (code, out) == (2, "")
    assert "the label 'Old Tom' holds a space" in err
    assert not [path for path in (*outputs, tmp_path / "cache") if path.exists()]


def test_no_name_gives_the_terminal_a_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], call: Call
) -> None:
    """Neither in an error line nor in that of a wrong use."""
    hostile = tmp_path / "a\x1b]0;b"
    harmless = f"{tmp_path}{os.sep}a\N{REPLACEMENT CHARACTER}]0;b"
    code, _, err = call("explore", hostile, "--out", tmp_path / "out")
    assert (code, err) == (
        2, f"flukeprint: {harmless}: not a labelled collection; check the spelling\n",
    )  # fmt: skip
    code, _, err = call("demo", hostile)
    assert code == 2
    assert err.endswith(f"({harmless})\n")


@pytest.mark.parametrize(
    ("arguments", "wrong"),
    [
        (["identify", "{kaggle}/train", "--gallery", "{kaggle}", "--csv", "{tmp}"], "file"),
        (["evaluate", "{kaggle}", "--out", "{tmp}/file"], "folder"),
        (["explore", "{kaggle}", "--out", "{tmp}/file"], "folder"),
    ],
)
def test_results_that_cannot_be_written_are_refused_before_the_work(
    arguments: list[str],
    wrong: str,
    kaggle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: Call,
) -> None:
    def work(*arguments: object) -> None:
        pytest.fail("a photo is looked at")

    monkeypatch.setattr("PIL.Image.open", work)
    (tmp_path / "file").touch()
    filled = [argument.format(kaggle=kaggle, tmp=tmp_path) for argument in arguments]
    code, out, err = call(*filled)
    assert (code, out) == (2, "")
    assert err == f"flukeprint: {filled[-1]}: it is there and is not a {wrong}; name another\n"


def test_a_file_that_the_system_refuses_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], call: Call
) -> None:
    def refused(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied", "/data/locked")

    monkeypatch.setattr(cli, "cli", refused)
    monkeypatch.setattr(cli, "_silence_stdout", lambda: None)
    code, _, err = call("explore", "x")
    assert (code, err) == (
        2, "flukeprint: /data/locked: cannot be read or written: Permission denied\n",
    )  # fmt: skip


def test_a_report_never_goes_into_the_collection(
    kaggle: Path, capsys: pytest.CaptureFixture[str], call: Call
) -> None:
    before = sorted(kaggle.rglob("*"))
    for out in (kaggle, kaggle / "report"):
        assert call("explore", kaggle, "--out", out)[0] == 2
    assert sorted(kaggle.rglob("*")) == before


@pytest.mark.parametrize("command", ["explore", "evaluate"])
def test_a_report_never_goes_among_the_photos_that_a_csv_lists(
    command: str, paths_csv: Path, kaggle: Path, tmp_path: Path, call: Call
) -> None:
    """Neither where the photos lie nor where links lead to them, whatever the folder is called."""
    (kaggle / "train").rename(tmp_path / "photos")
    (kaggle / "train").mkdir()
    for path in (tmp_path / "photos").iterdir():
        (kaggle / "train" / path.name).symlink_to(path)
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    for out in (kaggle / "train", tmp_path / "photos", tmp_path / "link"):
        before = sorted(out.iterdir())
        code, printed, err = call(command, paths_csv, "--out", out)
        assert (code, printed) == (2, "")
        assert err == f"flukeprint: {out}: the photo 1.jpg lies there; name another folder\n"
        assert sorted(out.iterdir()) == before


def test_unreadable_photos_of_a_collection_end_with_1(
    kaggle: Path, model_path: Path, tmp_path: Path, call: Call
) -> None:
    asked: tuple[tuple[object, ...], ...] = (
        ("explore", kaggle, "--out", tmp_path / "report"),
        ("split", kaggle, "--out", tmp_path / "split.json"),
        ("evaluate", kaggle, "--model", model_path, "--cache", tmp_path / "cache"),
    )
    for arguments in asked:
        assert call(*arguments)[0] == 0
    broken = min((kaggle / "train").iterdir())
    broken.write_bytes(broken.read_bytes()[:60])
    for arguments in asked:
        code, out, err = call(*arguments)
        assert (code, bool(out), broken.name in err) == (1, True, True)


def test_formats_that_are_passed_over_are_named(
    identified: list[object], kaggle: Path, call: Call
) -> None:
    (kaggle / "train" / "phone.HEIC").write_bytes(b"x")
    code, _, err = call(*identified)
    assert code == 0
    assert "left out 1 .heic; save them as JPEG" in err


def test_a_full_disk_behind_stdout_is_one_line(
    kaggle: Path, model_path: Path, tmp_path: Path
) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "flukeprint", "identify", str(kaggle / "train"), "--gallery",
             str(kaggle), "--model", str(model_path), "--cache", str(tmp_path / "c"), "--json"],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False, timeout=120,
            env={**os.environ, "PYTHONPATH": str(ROOT / "src")},
        )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("flukeprint: cannot write the results")
    assert "Traceback" not in done.stderr


def test_nothing_is_left_in_the_home_folder_but_the_cache(
    kaggle: Path, model_path: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    quiet = ("CI", "ORT_DISABLE_TELEMETRY", "ORT_TELEMETRY_DISABLED", "XDG_CACHE_HOME")
    environment = {key: value for key, value in os.environ.items() if key not in quiet}
    subprocess.run(
        [sys.executable, "-m", "flukeprint", "identify", str(kaggle / "train"), "--gallery",
         str(kaggle), "--model", str(model_path), "--cache", str(tmp_path / "c")],
        capture_output=True, check=True, timeout=120,
        env={**environment, "HOME": str(home), "PYTHONPATH": str(ROOT / "src")},
    )  # fmt: skip
    assert list(home.rglob("*")) == []
