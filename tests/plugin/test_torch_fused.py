"""TorchFusedModel against plain generation and against the contract, under either transformers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from neuron.errors import ModelNotFoundError, PairError
from neuron.plugin.fused import PADDING, Feed
from neuron.plugin.hf_model import load_config
from neuron.plugin.torch_fused import TorchFusedModel
from tests.plugin.models import DRAFT, TARGET, Plain, prompts, random_qwen, run

SHAPE: dict[str, Any] = {"slots": 4, "max_prompt": 256, "max_len": 320}


def fused(target: Path = TARGET, draft: Path = DRAFT, **changes: Any) -> TorchFusedModel:  # noqa: ANN401
    model = TorchFusedModel(target, draft, **{**SHAPE, "rows": 4, **changes})
    model.load()
    return model


@pytest.fixture(scope="module")
def plain() -> Plain:
    return Plain(TARGET)


@pytest.fixture(scope="module")
def model() -> Iterator[TorchFusedModel]:
    loaded = fused()
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def mixed() -> dict[int, list[int]]:
    """Prompts of clearly different lengths, one per slot."""
    tasks = ("sql", "json_extract", "prose", "hex")
    return {slot: prompts(1, task)[0][slot * 5 :] for slot, task in enumerate(tasks)}


@pytest.mark.parametrize("rows", [1, 2, 4])
def test_a_batch_of_mixed_lengths_is_plain_greedy_generation(
    model: TorchFusedModel, plain: Plain, mixed: dict[int, list[int]], rows: int
) -> None:
    out, lengths = run(model, mixed, 24, rows)
    for slot, prompt in mixed.items():
        assert plain.explains(prompt, out[slot])
        assert max(lengths[slot]) <= rows


def test_a_perfect_draft_is_always_accepted_even_in_used_slots(
    mixed: dict[int, list[int]],
) -> None:
    model = fused(draft=TARGET)
    backwards = dict(zip(reversed(mixed), mixed.values(), strict=True))
    for sequences in (mixed, backwards, mixed):
        _, lengths = run(model, sequences, 20, 4)
        assert {n for steps in lengths.values() for n in steps} == {4}


def test_the_shared_draft_mask_loses_acceptance_and_nothing_else(
    plain: Plain, mixed: dict[int, list[int]]
) -> None:
    model = fused(draft=TARGET, shared_draft_mask=True)
    backwards = dict(zip(reversed(mixed), mixed.values(), strict=True))
    run(model, backwards, 20, 4)
    out, lengths = run(model, mixed, 20, 4)
    assert all(plain.explains(prompt, out[slot]) for slot, prompt in mixed.items())
    assert any(n < 4 for steps in lengths.values() for n in steps)


def test_one_sequence_does_not_feel_the_shared_draft_mask(mixed: dict[int, list[int]]) -> None:
    model = fused(draft=TARGET, shared_draft_mask=True)
    _, lengths = run(model, {2: mixed[1]}, 20, 4)
    assert set(lengths[2]) == {4}


def test_the_raw_output_is_padded_and_gives_the_next_positions(
    model: TorchFusedModel, mixed: dict[int, list[int]]
) -> None:
    tokens = [model.prefill(slot, prompt).token for slot, prompt in mixed.items()]
    positions = torch.tensor([len(prompt) for prompt in mixed.values()])
    raw = model.forward(torch.arange(4), torch.tensor(tokens), positions, 4)
    assert raw.tokens.dtype == torch.int32
    assert raw.tokens.shape == (4, 4)
    emitted = (raw.tokens != PADDING).sum(dim=1)
    assert raw.next_positions.tolist() == (positions + emitted).tolist()
    for row, count in zip(raw.tokens.tolist(), emitted.tolist(), strict=True):
        assert all(token == PADDING for token in row[count:])


def test_the_logits_are_those_of_every_row(
    model: TorchFusedModel, plain: Plain, mixed: dict[int, list[int]]
) -> None:
    prompt = mixed[0]
    first = model.prefill(1, prompt, logits=True)
    assert first.logits is not None
    torch.testing.assert_close(first.logits, plain.logits(prompt)[-1], atol=1e-3, rtol=1e-3)
    silent, loud = model.step(
        [Feed(0, 5, 1), Feed(1, first.token, len(prompt), logits=True)], rows=4
    )
    assert silent.logits is None
    assert loud.logits is not None
    assert loud.candidates is not None
    fed = [*prompt, first.token, *loud.candidates]
    torch.testing.assert_close(loud.logits, plain.logits(fed)[-4:], atol=1e-3, rtol=1e-3)
    assert loud.tokens == tuple(loud.logits.argmax(dim=1)[: len(loud.tokens)].tolist())


def test_the_host_may_stop_inside_a_step_and_go_another_way(
    model: TorchFusedModel, plain: Plain, mixed: dict[int, list[int]]
) -> None:
    prompt = mixed[1]
    tokens = [model.prefill(3, prompt).token]
    for choice in (7, 11, 13):
        model.step([Feed(3, tokens[-1], len(prompt) + len(tokens) - 1)], rows=4)
        tokens.append(choice)
    (step,) = model.step([Feed(3, tokens[-1], len(prompt) + len(tokens) - 1)], rows=4)
    assert plain.explains([*prompt, *tokens], step.tokens)


@pytest.mark.parametrize("kind", ["qwen2", "qwen3"])
@pytest.mark.parametrize("theta", [10000.0, 100.0])
def test_both_families_with_any_rotary_base(tmp_path: Path, kind: str, theta: float) -> None:
    target = random_qwen(tmp_path / "target", kind, rope_theta=theta)
    draft = random_qwen(tmp_path / "draft", kind, seed=1, rope_theta=theta)
    model = fused(target, draft)
    prompt = list(range(3, 40))
    out, _ = run(model, {0: prompt, 2: prompt[:5]}, 16, 4)
    plain = Plain(target)
    assert plain.explains(prompt, out[0])
    assert plain.explains(prompt[:5], out[2])


def test_the_rotary_base_is_read_whoever_wrote_the_config(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    folder = random_qwen(tmp_path, "qwen2", rope_theta=500.0)
    model = AutoModelForCausalLM.from_config(load_config(folder))
    expected = 500.0 ** (-torch.arange(0, 8, 2) / 8)
    torch.testing.assert_close(model.model.rotary_emb.inv_freq, expected)


@pytest.mark.parametrize(
    ("change", "says"),
    [({"model_type": "llama"}, "'llama'"), ({"use_sliding_window": True}, "use_sliding_window")],
)
def test_what_is_not_a_plain_qwen_is_refused(
    tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    written = json.loads((TARGET / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**written, **change}))
    with pytest.raises(ModelNotFoundError, match=says):
        load_config(tmp_path)


def test_a_folder_without_a_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match=r"config\.json cannot be read"):
        load_config(tmp_path)


def test_two_vocabularies_are_refused(tmp_path: Path) -> None:
    draft = random_qwen(tmp_path, "qwen2")
    with pytest.raises(PairError, match="vocabulary of 64 is not the target's 3072"):
        fused(draft=draft)
