"""When our platform comes forward, and that it never does under another vLLM."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from neuron.plugin.activation import PLATFORM, VARIABLE, model_name, register


@pytest.mark.parametrize(
    ("environment", "device", "named"),
    [
        ({}, False, None),
        ({}, True, "nxdi"),
        ({VARIABLE: "torch"}, False, "torch"),
        ({VARIABLE: "torch"}, True, "torch"),
        ({VARIABLE: "off"}, True, None),
        ({VARIABLE: ""}, True, None),
        ({VARIABLE: "some.module:build"}, False, "some.module:build"),
    ],
)
def test_which_model_is_asked_for(
    environment: dict[str, str], device: bool, named: str | None
) -> None:
    assert model_name(environment, device=device) == named


@pytest.mark.parametrize(
    ("version", "asked", "platform"),
    [
        ("0.16.0", "torch", PLATFORM),
        ("0.16.0", None, None),
        ("0.32.0", "torch", None),
        ("0.160.0", "torch", None),
    ],
)
def test_only_under_its_own_vllm(
    monkeypatch: pytest.MonkeyPatch, version: str, asked: str | None, platform: str | None
) -> None:
    # vLLM itself is the seam: it calls `register` while it is being imported.
    stand_in = ModuleType("vllm.version")
    stand_in.__dict__["__version__"] = version
    monkeypatch.setitem(sys.modules, "vllm.version", stand_in)
    monkeypatch.setitem(sys.modules, "vllm", ModuleType("vllm"))
    monkeypatch.delenv(VARIABLE, raising=False)
    if asked is not None:
        monkeypatch.setenv(VARIABLE, asked)
    assert register() == platform
