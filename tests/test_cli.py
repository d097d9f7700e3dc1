"""The command line as a user meets it: exit codes, one line for an error, what goes where."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from flukeprint import cli
from flukeprint.model import Model
from tests.conftest import ROOT


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


def call(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int, str, str]:
    """Run the command in this process: exit code, stdout, stderr."""
    monkeypatch.setattr(sys, "argv", ["flukeprint", *map(str, arguments)])
    code = 0
    try:
        cli.main()
    except SystemExit as stop:
        assert isinstance(stop.code, int)
        code = stop.code
    out, err = capsys.readouterr()
    return code, out, err


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


def test_identify_prints_json_lines_and_exits_with_0(
    identified: list[object],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    code, out, _ = call(monkeypatch, capsys, *identified, "--json", "--top", 2)
    answers = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert all(set(a) == {"photo", "candidates", "new", "error"} for a in answers)
    assert all(len(a["candidates"]) == 2 and a["error"] is None for a in answers)


def test_one_bad_photo_is_told_and_the_exit_code_is_1(
    identified: list[object],
    kaggle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    bad = tmp_path / "note.jpg"
    bad.write_text("this is no picture")
    submission = tmp_path / "out.csv"
    code, out, _ = call(
        monkeypatch, capsys, *identified, bad, "--json", "--kaggle", submission
    )  # fmt: skip
    answers = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    assert [a["photo"] for a in answers if a["error"]] == [str(bad)]
    rows = submission.read_text().splitlines()
    assert len(rows) == 1 + len(answers)
    assert next(row for row in rows if row.startswith("note.jpg,")).split(",")[1].split()[0] == (
        "new_whale"
    )


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["identify", "nothing.jpg", "--gallery", "{kaggle}"], "nothing.jpg"),
        (["identify", "{kaggle}/train", "--gallery", "nowhere"], "nowhere"),
        (["identify", "{kaggle}/train", "--gallery", "{kaggle}", "--model", "{kaggle}/train.csv"],
         "train.csv"),
        (["identify", "{kaggle}/train", "--gallery", "{kaggle}", "--model", "{model}",
          "--device", "cuda"], "CUDA"),
        (["identify", "{kaggle}/train", "--gallery", "{kaggle}", "--model", "{model}",
          "--device", "abacus"], "abacus"),
        (["explore", "{kaggle}/train", "--out", "{tmp}/x"], "train"),
        (["split", "{kaggle}", "--protocol", "by-mood", "--out", "{tmp}/s.json"], "by-mood"),
        (["export", "{kaggle}", "--out", "{tmp}/m.fluke"], "kaggle"),
        (["evaluate", "{model}"], "--data"),
        (["evaluate", "nowhere"], "nowhere"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_exit_code_2(
    arguments: list[str],
    word: str,
    kaggle: Path,
    model_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if arguments[0] == "export":
        pytest.importorskip("torch", reason="exporting needs the training extra")
    filled = [a.format(kaggle=kaggle, model=model_path, tmp=tmp_path) for a in arguments]
    code, out, err = call(monkeypatch, capsys, *filled)
    assert code == 2
    assert out == ""
    assert err.startswith("flukeprint: ")
    assert err.count("\n") == 1
    assert word in err
    assert not (tmp_path / "s.json").exists()
    assert not (tmp_path / "m.fluke").exists()


def test_an_unknown_option_is_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = call(monkeypatch, capsys, "identify", "--colour")
    assert code == 2
    assert "--colour" in err


def test_training_without_torch_says_what_to_install(
    kaggle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in [name for name in sys.modules if name.startswith("flukeprint.training")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)  # as if it were not installed
    code, _, err = call(monkeypatch, capsys, "train", kaggle, "--out", tmp_path / "run")
    assert code == 2
    assert "pip install '.[train]'" in err
    assert not (tmp_path / "run").exists()


def test_the_gallery_is_never_written_to(
    identified: list[object],
    kaggle: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sorted(path for path in kaggle.rglob("*"))
    assert call(monkeypatch, capsys, *identified)[0] == 0
    assert sorted(path for path in kaggle.rglob("*")) == before


def test_every_command_is_documented() -> None:
    reference = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    for name, command in cli.cli.commands.items():
        assert f"\n## {name}\n" in reference
        section = reference.split(f"\n## {name}\n")[1].split("\n## ")[0]
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
def test_results_never_replace_the_gallery_or_a_photo(
    option: str,
    paths_csv: Path,
    kaggle: Path,
    model_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    photo = kaggle / "train" / "1.jpg"
    common = ["identify", photo, "--gallery", paths_csv, "--model", model_path,
              "--cache", tmp_path / "cache"]  # fmt: skip
    for target in (paths_csv, photo):
        before = target.read_bytes()
        code, _, err = call(monkeypatch, capsys, *common, option, target)
        assert (code, target.read_bytes()) == (2, before)
        assert str(target) in err
    other = "--kaggle" if option == "--csv" else "--csv"
    same = tmp_path / "same"
    assert call(monkeypatch, capsys, *common, option, same, other, same)[0] == 2
    assert not same.exists()


def test_a_report_never_goes_into_the_collection(
    kaggle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(kaggle.rglob("*"))
    for out in (kaggle, kaggle / "report"):
        assert call(monkeypatch, capsys, "explore", kaggle, "--out", out)[0] == 2
    assert sorted(kaggle.rglob("*")) == before


def test_formats_that_are_passed_over_are_named(
    identified: list[object],
    kaggle: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (kaggle / "train" / "phone.HEIC").write_bytes(b"x")
    code, _, err = call(monkeypatch, capsys, *identified)
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
