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
    assert "flukeprint[train]" in err
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
