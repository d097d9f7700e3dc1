"""Tests of the choice of device."""

import pytest

pytest.importorskip("torch", reason="training needs torch")

import torch

from flukeprint.errors import FlukeprintError
from flukeprint.training.device import Device, find_device


@pytest.fixture
def only_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.usefixtures("only_cpu")
def test_auto_takes_what_there_is() -> None:
    assert find_device().name == "cpu"


@pytest.mark.usefixtures("only_cpu")
@pytest.mark.parametrize("wanted", ["cuda", "mps", "tpu", "cuda:1", ""])
def test_a_device_that_is_not_there_is_said_so(wanted: str) -> None:
    with pytest.raises(FlukeprintError, match=f"no device '{wanted}' here; there is cpu"):
        find_device(wanted)


def test_a_gpu_is_preferred(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: False)
    assert find_device() == Device("cuda", False)


@pytest.mark.usefixtures("only_cpu")
def test_a_cpu_without_bfloat16_trains_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    device = find_device("cpu")
    assert not device.bf16
    with device.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    assert not find_device("cpu").bf16


def test_bfloat16_where_it_is_fast() -> None:
    with Device("cpu", True).autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16
