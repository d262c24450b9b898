"""The two faulty functions themselves. If a fault is gone, its repair should go too."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neuron import cpu_sampling


@contextmanager
def quiet() -> Iterator[None]:
    """Importing vLLM and torch warns of their own deprecated parts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@pytest.fixture(scope="module")
def kernels() -> ModuleType:
    with quiet():
        from vllm.platforms import current_platform
        from vllm.utils import cpu_triton_utils

        current_platform.import_kernels()
    module: ModuleType = cpu_triton_utils
    return module


@pytest.fixture(scope="module")
def sampler() -> ModuleType:
    with quiet():
        from vllm.v1.sample.ops import topk_topp_sampler

    module: ModuleType = topk_topp_sampler
    return module


def expand_into(kernel: Callable[..., None], output: torch.Tensor) -> list[float]:
    values = torch.tensor([2, 0, 5]).to(output.dtype)
    kernel(output, values, torch.tensor([2, 2, 5], dtype=torch.int32), 0, 1)
    result: list[float] = output.tolist()
    return result


@pytest.mark.parametrize("dtype", [torch.float32, torch.int32])
def test_vllms_kernel_leaves_the_output_untouched(kernels: ModuleType, dtype: torch.dtype) -> None:
    output = torch.full((5,), -7).to(dtype)
    assert expand_into(kernels._expand_kernel_impl, output) == [-7] * 5


@pytest.mark.parametrize("dtype", [torch.float32, torch.int32, torch.int64])
def test_ours_fills_it(dtype: torch.dtype) -> None:
    output = torch.full((5,), -7).to(dtype)
    assert expand_into(cpu_sampling.expand, output) == [2, 2, 5, 5, 5]


@given(st.lists(st.tuples(st.floats(0, 2, width=32), st.integers(0, 8)), min_size=1, max_size=8))
def test_each_value_is_repeated_for_its_tokens(rows: Sequence[tuple[float, int]]) -> None:
    counts = torch.tensor([count for _, count in rows])
    output = torch.empty(int(counts.sum()))
    values = torch.tensor([value for value, _ in rows])
    cpu_sampling.expand(output, values, counts.cumsum(0).int(), 0, 1)
    expected = [value if value != 0 else 1.0 for value, count in rows for _ in range(count)]
    assert output.tolist() == expected


def test_vllms_top_k_fails_on_no_rows_and_ours_does_not(sampler: ModuleType) -> None:
    rows, k = torch.empty(0, 16), torch.empty(0, dtype=torch.int32)
    with pytest.raises(RuntimeError, match="numel"):
        sampler.apply_top_k_only(rows, k)
    assert cpu_sampling.TopKOnly(sampler.apply_top_k_only)(rows, k).shape == (0, 16)


def test_ours_is_vllms_where_there_are_rows(sampler: ModuleType) -> None:
    logits, k = torch.randn(3, 16), torch.tensor([1, 4, 16])
    theirs = sampler.apply_top_k_only(logits.clone(), k.clone())
    ours = cpu_sampling.TopKOnly(sampler.apply_top_k_only)(logits.clone(), k.clone())
    assert torch.equal(ours, theirs)


def test_registering_twice_repairs_once(
    kernels: ModuleType, sampler: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only so that both come back as they were.
    monkeypatch.setattr(kernels, "_expand_kernel_impl", kernels._expand_kernel_impl)
    monkeypatch.setattr(sampler, "apply_top_k_only", sampler.apply_top_k_only)
    cpu_sampling.register()
    repaired = sampler.apply_top_k_only
    cpu_sampling.register()
    assert kernels._expand_kernel_impl is cpu_sampling.expand
    assert isinstance(repaired, cpu_sampling.TopKOnly)
    assert sampler.apply_top_k_only is repaired
