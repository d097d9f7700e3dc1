"""Tests of the search for settings: the best is found, and no kill changes what is found."""

import json
import math
import os
import random
import signal
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("optuna", reason="searching needs optuna")

from flukeprint.cli import cli
from flukeprint.errors import Diverged, FlukeprintError
from flukeprint.training import search as module
from flukeprint.training.config import TrainConfig, read_config, with_epochs
from flukeprint.training.runfolder import RunFolder
from flukeprint.training.search import search
from flukeprint.training.spaces import SPACES, Span
from tests.training.nursery import FILE_EVENTS
from tests.training.small import SETTINGS, write_whales

CONFIG = TrainConfig(seed=5, epochs=9)
BEST_RATE = 0.25
DRAW = module._draw


def score(config: TrainConfig) -> float:
    """Best at one learning rate, and at no augmentation."""
    away = abs(math.log(config.learning_rate / BEST_RATE)) / 8 + config.rotate_deg / 100
    return max(0.0, 0.9 - away)


@dataclass
class FakeTraining:
    """In place of ``train``: what it was asked, and what goes wrong in which trial."""

    stop_in: str = ""
    failures: dict[str, FlukeprintError] = field(default_factory=dict)
    seen: list[tuple[str, TrainConfig]] = field(default_factory=list)

    def __call__(self, data: Path, out: Path, config: TrainConfig, **others: Any) -> dict[str, Any]:
        self.seen.append((out.name, config))
        others["report"]("epoch 1")
        if out.name == self.stop_in:
            raise KeyboardInterrupt
        if out.name in self.failures:
            raise self.failures[out.name]
        return {"epoch": 1, "map5": score(config), "epochs": config.epochs}


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> FakeTraining:
    made = FakeTraining()
    monkeypatch.setattr(module, "train", made)
    monkeypatch.setattr(module, "_draw", lambda *others: None)  # the slowest part by far
    return made


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_whales(tmp_path_factory.mktemp("data") / "whales")


def run(data: Path, out: Path, config: TrainConfig = CONFIG, **others: Any) -> dict[str, Any]:
    asked: dict[str, Any] = {"what": "learning-rate", "trials": 8, "device": "cpu"}
    return search(data, out, config, **(asked | others))


def lines_of(out: Path) -> list[dict[str, Any]]:
    """The log without the times."""
    lines = [json.loads(line) for line in (out / "search.jsonl").read_text().splitlines()]
    assert all(line.pop("seconds") >= 0 for line in lines)
    return lines


def assert_same(out: Path, whole: Path) -> None:
    assert lines_of(out) == lines_of(whole)
    assert (out / "best.toml").read_text() == (whole / "best.toml").read_text()
    assert not [path.name for path in out.iterdir() if path.name.startswith(".")]


def test_the_best_is_found_and_told(data: Path, tmp_path: Path, fake: FakeTraining) -> None:
    told: list[str] = []
    best = run(data, tmp_path / "out", trials=14, report=told.append)
    lines = lines_of(tmp_path / "out")
    assert [line["number"] for line in lines] == list(range(14))
    assert {line["state"] for line in lines} == {"complete"}
    assert {line["epochs"] for line in lines} == {9}
    top = max(lines, key=lambda line: line["value"])
    assert best == {
        "what": "learning-rate",
        "number": top["number"],
        "settings": top["settings"],
        "value": top["value"],
        "trials": 14,
        "failed": 0,
    }
    assert best["value"] > 0.75  # 0.82 at the most
    rates = [line["settings"]["learning_rate"] for line in lines]
    assert len(set(rates)) == 14
    assert all(0.1 / 30 <= rate <= 3.0 for rate in rates)
    assert [name for name, _ in fake.seen] == [f"trial-{number:03d}" for number in range(14)]
    assert "trial-013: epoch 1" in told
    assert told[-1].startswith("trial-013: validation MAP@5 0.")


@pytest.mark.filterwarnings("error")
def test_the_plot_has_a_place_for_failed_trials(
    data: Path, tmp_path: Path, fake: FakeTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_draw", DRAW)
    fake.failures["trial-001"] = Diverged("the loss is nan")
    for trials in (1, 2):
        run(data, tmp_path / "out", what="augmentation", trials=trials)
        plot = tmp_path / "out" / "search.png"
        assert plot.read_bytes().startswith(b"\x89PNG")
        plot.unlink()


def test_the_best_config_is_the_callers_with_the_best_values(
    data: Path, tmp_path: Path, fake: FakeTraining
) -> None:
    config = replace(CONFIG, backbone="resnet34", head=(64, 32))
    best = run(data, tmp_path / "out", config, what="augmentation", trials=4, epochs=2)
    assert list(best["settings"]) == ["rotate_deg", "zoom", "shift", "shear", "light", "erase"]
    found = read_config(tmp_path / "out" / "best.toml", [])
    assert found == replace(config, **best["settings"])
    assert found.epochs == 9
    assert {tried.epochs for _, tried in fake.seen} == {2}
    assert {line["epochs"] for line in lines_of(tmp_path / "out")} == {2}
    for name, tried in fake.seen:
        (line,) = [k for k in lines_of(tmp_path / "out") if name == f"trial-{k['number']:03d}"]
        assert tried == replace(with_epochs(config, 2), **line["settings"])


def test_a_stopped_search_ends_as_an_unbroken_one(
    data: Path, tmp_path: Path, fake: FakeTraining
) -> None:
    whole = run(data, tmp_path / "whole", what="augmentation", trials=9)
    fake.seen.clear()
    for number in (3, 3, 7):
        fake.stop_in = f"trial-{number:03d}"
        with pytest.raises(KeyboardInterrupt):
            run(data, tmp_path / "out", what="augmentation", trials=9)
    fake.stop_in = ""
    assert run(data, tmp_path / "out", what="augmentation", trials=9) == whole
    assert_same(tmp_path / "out", tmp_path / "whole")
    names = [name for name, _ in fake.seen]
    assert names == [f"trial-{number:03d}" for number in (0, 1, 2, 3, 3, 3, 4, 5, 6, 7, 7, 8)]
    assert fake.seen[3] == fake.seen[4] == fake.seen[5], "a trial cut short keeps its values"


def test_a_search_that_is_done_is_left_as_it_is(
    data: Path, tmp_path: Path, fake: FakeTraining
) -> None:
    best = run(data, tmp_path / "out", trials=3)
    (tmp_path / "out" / "best.toml").unlink()  # as if killed before it was written
    assert run(data, tmp_path / "out", trials=3) == best
    assert run(data, tmp_path / "out", trials=1) == best
    assert len(fake.seen) == 3
    assert (tmp_path / "out" / "best.toml").is_file()


def test_more_trials_go_on(data: Path, tmp_path: Path, fake: FakeTraining) -> None:
    run(data, tmp_path / "out", trials=3)
    whole = run(data, tmp_path / "whole", trials=8)
    assert run(data, tmp_path / "out", trials=8) == whole
    assert_same(tmp_path / "out", tmp_path / "whole")


def test_later_trials_learn_from_the_scores(
    data: Path, tmp_path: Path, fake: FakeTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(data, tmp_path / "up", trials=7)
    monkeypatch.setattr(module, "train", lambda *asked, **others: {"map5": 1 - score(asked[2])})
    run(data, tmp_path / "down", trials=7)
    up, down = ([line["settings"] for line in lines_of(tmp_path / name)] for name in ("up", "down"))
    assert up[:5] == down[:5], "the first are drawn before there is anything to learn from"
    assert up[5] != down[5]


def test_another_seed_tries_other_values(data: Path, tmp_path: Path, fake: FakeTraining) -> None:
    run(data, tmp_path / "a", trials=2)
    run(data, tmp_path / "b", replace(CONFIG, seed=2**32 - 1), trials=2)
    rates = [tried.learning_rate for _, tried in fake.seen]
    assert len(set(rates)) == 4


def test_kills_at_any_moment_change_nothing(data: Path, tmp_path: Path, fake: FakeTraining) -> None:
    whole, out = tmp_path / "whole", tmp_path / "out"
    run(data, whole, trials=7)
    lottery, kills = random.Random(4), 0
    while not _killed(lambda: run(data, out, trials=7), out, lottery.randint(1, 50)):
        kills += 1
        assert kills < 60, "the search does not get on"
    assert kills >= 5
    run(data, out, trials=7)
    assert_same(out, whole)


def _killed(work: Callable[[], object], folder: Path, moment: int) -> bool:
    """Work in a child that dies before so many operations on files; whether it was done first."""
    child = os.fork()
    if not child:
        left = moment

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal left
            if event in FILE_EVENTS and str(folder) in str(arguments[0]):
                left -= 1
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)

        code = 1
        try:
            sys.addaudithook(hook)
            work()
            code = 0
        finally:
            os._exit(code)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert ended in (0, -signal.SIGKILL)
    return ended == 0


def test_a_line_of_the_journal_cut_in_half(data: Path, tmp_path: Path, fake: FakeTraining) -> None:
    whole = run(data, tmp_path / "whole", trials=4)
    run(data, tmp_path / "out", trials=2)
    journal = tmp_path / "out" / "study.jsonl"
    journal.write_bytes(journal.read_bytes()[:-20])
    (tmp_path / "out" / "study.jsonl.lock").touch()  # Optuna would wait for it half a minute
    assert run(data, tmp_path / "out", trials=4) == whole
    assert_same(tmp_path / "out", tmp_path / "whole")
    names = [name for name, _ in fake.seen]
    assert names[4:] == [f"trial-{number:03d}" for number in (0, 1, 1, 2, 3)]


@pytest.mark.parametrize("text", ["no journal\n", "[1]\n", '{"op_code": 77}\n', "\xff\n{}\n"])
def test_a_damaged_journal_is_one_line(
    text: str, data: Path, tmp_path: Path, fake: FakeTraining
) -> None:
    run(data, tmp_path / "out", trials=1)
    (tmp_path / "out" / "study.jsonl").write_text(text, encoding="latin-1")
    with pytest.raises(FlukeprintError, match=r"study.jsonl: damaged .* another folder"):
        run(data, tmp_path / "out", trials=2)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"what": "augmentation"}, "begun with what 'learning-rate', now it is 'augmentation'"),
        ({"epochs": 4}, "begun with epochs 9, now it is 4"),
        ({"config": replace(CONFIG, batch_size=8)}, "search with another config"),
        ({"config": replace(CONFIG, learning_rate=0.2)}, "search with another config"),
    ],
)
def test_other_arguments_are_refused(
    other: dict[str, Any], message: str, data: Path, tmp_path: Path, fake: FakeTraining
) -> None:
    run(data, tmp_path / "out", trials=1)
    asked = {"config": CONFIG} | other
    with pytest.raises(FlukeprintError, match=message):
        run(data, tmp_path / "out", **asked)
    assert run(data, tmp_path / "out", trials=1, epochs=9)["trials"] == 1


def test_another_collection_is_refused(data: Path, tmp_path: Path, fake: FakeTraining) -> None:
    run(data, tmp_path / "out", trials=1)
    with pytest.raises(FlukeprintError, match="begun with fingerprint"):
        run(write_whales(tmp_path / "others", whales=2), tmp_path / "out")


def test_ranges_of_another_version_are_refused(
    data: Path, tmp_path: Path, fake: FakeTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(data, tmp_path / "out", trials=1)
    monkeypatch.setitem(SPACES, "learning-rate", lambda config: {"learning_rate": Span(0.1, 0.2)})
    with pytest.raises(FlukeprintError, match="another config"):
        run(data, tmp_path / "out")


def test_a_third_space_is_one_entry(
    data: Path, tmp_path: Path, fake: FakeTraining, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SPACES, "decay", lambda config: {"weight_decay": Span(1e-5, 1e-2, True)})
    assert set(run(data, tmp_path / "out", what="decay", trials=1)["settings"]) == {"weight_decay"}


def test_a_trial_without_a_score_has_failed(data: Path, tmp_path: Path, fake: FakeTraining) -> None:
    reason = "training diverged in epoch 3; go slower"
    fake.failures["trial-001"] = Diverged(reason)
    told: list[str] = []
    best = run(data, tmp_path / "out", trials=4, report=told.append)
    assert (best["trials"], best["failed"]) == (4, 1)
    failed = lines_of(tmp_path / "out")[1]
    assert failed["state"] == "failed"
    assert failed["value"] is None
    assert failed["reason"] == reason
    assert f"trial-001: failed: {reason}" in told
    run(data, tmp_path / "out", trials=6)
    assert [name for name, _ in fake.seen].count("trial-001") == 1, "it is not tried again"


def test_an_error_that_all_trials_share_stops_the_search(
    data: Path, tmp_path: Path, fake: FakeTraining
) -> None:
    out = tmp_path / "scores"
    reason = f"{out}/trial-001/log.jsonl: cannot be written: disk full"
    fake.failures["trial-001"] = FlukeprintError(reason)
    with pytest.raises(FlukeprintError, match="disk full"):
        run(data, out, trials=3)
    assert len(lines_of(out)) == 1
    fake.failures.clear()
    assert run(data, out, trials=3)["failed"] == 0


def test_a_search_in_which_all_fail(data: Path, tmp_path: Path, fake: FakeTraining) -> None:
    fake.failures = {f"trial-{number:03d}": Diverged("the loss is nan") for number in range(2)}
    with pytest.raises(FlukeprintError, match=r"search.jsonl: no trial ended with a score"):
        run(data, tmp_path / "out", trials=2)
    assert len(lines_of(tmp_path / "out")) == 2
    assert not (tmp_path / "out" / "best.toml").exists()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"what": "momentum"}, "--what momentum: choose one of learning-rate, augmentation"),
        ({"what": "augmentation", "config": replace(CONFIG, augment="none")}, "augment=realtime"),
        ({"config": replace(CONFIG, protocol="everything")}, "protocol everything keeps none"),
        ({"config": replace(CONFIG, learning_rate=0.0)}, "learning_rate is 0"),
        ({"epochs": 0}, "epochs is 0; it must be from 1"),
        ({"device": "abacus"}, "abacus"),
    ],
)
def test_what_cannot_be_searched_is_refused_at_once(
    asked: dict[str, Any], message: str, data: Path, tmp_path: Path, fake: FakeTraining
) -> None:
    with pytest.raises(FlukeprintError, match=message):
        run(data, tmp_path / "out", **({"config": CONFIG} | asked))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("rate", [1e-6, 0.1, 2.0, 500.0])
def test_the_span_of_rates_holds_the_configs_own(rate: float) -> None:
    span = SPACES["learning-rate"](replace(CONFIG, learning_rate=rate))["learning_rate"]
    assert 0.0 < span.low < rate <= span.high <= max(3.0, rate)


@pytest.mark.parametrize("name", list(SPACES))
def test_the_spans_are_what_a_config_may_hold(name: str) -> None:
    for setting, span in SPACES[name](CONFIG).items():
        for value in (span.low, span.high):
            assert getattr(read_config(None, [f"{setting}={value!r}"]), setting) == value


def test_folders_that_are_refused(data: Path, tmp_path: Path, fake: FakeTraining) -> None:
    with pytest.raises(FlukeprintError, match="lies in the collection itself"):
        run(data, data / "out")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").touch()
    with pytest.raises(FlukeprintError, match="not empty and not a search; name another folder"):
        run(data, tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.txt"]
    with (
        RunFolder(tmp_path / "out").locked(),
        pytest.raises(FlukeprintError, match="another run is at work here"),
    ):
        run(data, tmp_path / "out")


def test_optuna_says_nothing_itself(
    data: Path, tmp_path: Path, fake: FakeTraining, capfd: pytest.CaptureFixture[str]
) -> None:
    fake.failures["trial-001"] = Diverged("the loss is nan")
    run(data, tmp_path / "out", trials=7)
    assert capfd.readouterr() == ("", "")


def test_later_trials_take_over_the_first_ones_finder(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Path | None, Any]] = []

    def training(data: Path, out: Path, config: TrainConfig, **others: Any) -> dict[str, Any]:
        seen.append((others["finder"], others["collection"]))
        out.mkdir(parents=True)
        RunFolder(out).localiser.write_bytes(out.name.encode())
        return {"epoch": 1, "map5": 0.5, "epochs": config.epochs}

    monkeypatch.setattr(module, "train", training)
    search(data, tmp_path / "out", CONFIG, what="augmentation", trials=3)
    first = RunFolder(tmp_path / "out" / "trial-000").localiser
    assert [finder for finder, _ in seen] == [None, first, first]
    assert seen[0][1] is seen[1][1] is seen[2][1], "the photos were read again"


def test_a_real_search(data: Path, tmp_path: Path) -> None:
    short = ["localise=false", "drawn_whales=0", "epochs=1"]
    settings = [part for setting in (*SETTINGS, *short) for part in ("--set", setting)]
    command = ["search", str(data), "--out", str(tmp_path / "out"), "--what", "augmentation"]
    asked = [*command, "--trials", "2", "--device", "cpu", *settings]
    done = CliRunner().invoke(cli, [*asked, "--json"], catch_exceptions=False)
    best = json.loads(done.stdout)
    assert best["trials"] == 2
    for line in lines_of(tmp_path / "out"):
        folder = RunFolder(tmp_path / "out" / f"trial-{line['number']:03d}")
        assert json.loads(folder.result.read_text())["map5"] == line["value"]
        tried = tomllib.loads(folder.config.read_text())
        assert {name: tried[name] for name in line["settings"]} == line["settings"]
    chosen = [f"{name}={value!r}" for name, value in best["settings"].items()]
    expected = read_config(None, [*SETTINGS, *short, *chosen])
    assert read_config(tmp_path / "out" / "best.toml", []) == expected
    again = CliRunner().invoke(cli, asked, catch_exceptions=False)
    assert again.stdout.startswith("best of 2 trials (0 failed): rotate_deg ")
    assert "best.toml" in again.stdout


def test_a_real_run_that_diverges_has_failed(data: Path, tmp_path: Path) -> None:
    fast = ["learning_rate=1e9", "epochs=3", "validate_every=1"]
    config = read_config(None, [*SETTINGS, "localise=false", "drawn_whales=0", *fast])
    with pytest.raises(FlukeprintError, match="no trial ended with a score"):
        run(data, tmp_path / "out", config, trials=1)
    (line,) = lines_of(tmp_path / "out")
    assert (line["state"], line["value"]) == ("failed", None)
