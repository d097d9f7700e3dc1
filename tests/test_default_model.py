"""The model that ships with the package, on whales that anybody can draw."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pytest

from flukeprint.demo import DemoResult, run_demo
from flukeprint.model import MEASURED, SHIPPED, load_model
from flukeprint.progress import no_progress
from flukeprint.records import EVERYTHING

MOST_BYTES = 25_000_000


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> DemoResult:
    """The demo as a user runs it."""
    return run_demo(tmp_path_factory.mktemp("demo") / "out", None, progress=no_progress)


@pytest.mark.parametrize("name", SHIPPED)
def test_it_is_small_enough_to_ship(name: str) -> None:
    shipped = resources.files("flukeprint") / "weights" / f"{SHIPPED[name]}.fluke"
    assert len(shipped.read_bytes()) <= MOST_BYTES
    assert load_model(Path(name)).manifest.kind == "embedding"


def test_the_demo_names_most_known_whales(result: DemoResult) -> None:
    assert (result.known, result.failures) == (40, 0)
    assert result.known_right >= 32


def test_the_demo_tells_most_strangers_as_new(result: DemoResult) -> None:
    assert result.strangers == 20
    assert result.strangers_told >= 14


def test_the_sheet_is_one_page_that_needs_nothing_else(result: DemoResult) -> None:
    page = Path(result.sheet).read_text(encoding="utf-8")
    assert page.count("<img") >= 50
    assert "http://" not in page
    assert "https://" not in page


def test_the_measured_one_carries_its_scores() -> None:
    manifest = load_model(Path(MEASURED)).manifest
    for protocol in ("open-set", "other-catalogue"):
        score = manifest.metrics[protocol]["map5"]
        assert score["low"] <= score["value"] <= score["high"]


@pytest.mark.parametrize("name", SHIPPED)
def test_it_carries_what_it_has_seen(name: str) -> None:
    manifest = load_model(Path(name)).manifest
    assert manifest.training["fingerprint"]
    assert len(set(manifest.trained_on)) == len(manifest.trained_on) > 0


def test_the_default_is_the_measured_one_trained_on_every_photo() -> None:
    """With its beliefs, and without scores, as it has learned what could score it."""
    twin, model = load_model(Path(MEASURED)), load_model()
    assert model.manifest.split["protocol"] == EVERYTHING
    assert model.manifest.metrics == {}
    assert model.manifest.training["calibration_of"] == twin.id
    assert model.manifest.calibration == twin.manifest.calibration
    assert model.localiser == twin.localiser
    assert set(model.manifest.trained_on) > set(twin.manifest.trained_on)
