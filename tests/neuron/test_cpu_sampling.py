from __future__ import annotations

import pytest

from neuron.cpu_sampling import why_not


def touched() -> bool:
    raise AssertionError("nothing else of another vLLM may be touched")


@pytest.mark.parametrize("version", ["0.32.0", "0.32.0+cpu"])
def test_the_repair_is_for_one_version_on_cpu_without_triton(version: str) -> None:
    assert why_not(version, lambda: True, lambda: False) is None


@pytest.mark.parametrize("version", ["0.32.1", "0.32.0.1", "0.31.0", "0.16.0", "dev"])
def test_another_version_is_left_alone(version: str) -> None:
    assert version in (why_not(version, touched, touched) or "")


def test_another_platform_is_left_alone() -> None:
    assert "CPU" in (why_not("0.32.0", lambda: False, touched) or "")


def test_triton_kernels_are_left_alone() -> None:
    assert "Triton" in (why_not("0.32.0", lambda: True, lambda: True) or "")
