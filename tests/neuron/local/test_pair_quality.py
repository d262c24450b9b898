"""The committed weights, without an engine: tokenizer, template, enlargement, teacher forcing."""

import json
import unicodedata
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast, Qwen2ForCausalLM

from neuron.errors import ModelNotFoundError, SpecserveError
from neuron.local.batches import IGNORED, collate, encode
from neuron.local.build import SIZE, WEIGHTS, ensure_built
from neuron.local.corpus import TASKS, held_out
from neuron.local.enlarge import Enlargement, enlarge
from neuron.local.evaluate import acceptance_length

PROMPTS_PER_TASK = 6


@pytest.fixture(scope="module")
def small() -> Qwen2ForCausalLM:
    return Qwen2ForCausalLM.from_pretrained(WEIGHTS / "target").eval()


def logits(model: Qwen2ForCausalLM, tokens: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = model(tokens).logits
    return result


def greedy(model: Qwen2ForCausalLM, prompts: list[list[int]], stop: int) -> list[list[int]]:
    """Own loop, prompts one by one: padding on the left would change positions."""
    answers = []
    for prompt in prompts:
        with torch.no_grad():
            out = model.generate(
                torch.tensor([prompt]), max_new_tokens=192, do_sample=False, eos_token_id=stop
            )
        answers.append(out[0, len(prompt) :].tolist())
    return answers


@given(text=st.text())
def test_any_text_survives_the_tokenizer(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    # Qwen2's tokenizer composes characters first.
    text = unicodedata.normalize("NFC", text)
    assert tokenizer.decode(tokenizer.encode(text, add_special_tokens=False)) == text


def test_the_engine_sees_the_tokens_that_the_training_saw() -> None:
    """For a model of type qwen2, transformers 5 replaces the split that tokenizer.json names."""
    loaded = AutoTokenizer.from_pretrained(WEIGHTS / "target")
    raw = Tokenizer.from_file(str(WEIGHTS / "target" / "tokenizer.json"))
    for task in TASKS:
        for example in held_out(task, PROMPTS_PER_TASK):
            text = example.messages[0]["content"] + "\n" + example.answer
            assert loaded.encode(text) == raw.encode(text).ids, task


def test_tools_and_their_results_are_rendered(tokenizer: PreTrainedTokenizerFast) -> None:
    example = held_out("tool_call", 1)[0]
    call = json.loads(example.answer.split("\n")[1])
    messages = [
        {"role": "system", "content": "Be brief."},
        *example.messages,
        {"role": "assistant", "content": None, "tool_calls": [{"function": call}]},
        {"role": "tool", "content": "done"},
    ]
    text = tokenizer.apply_chat_template(
        messages, tools=list(example.tools), tokenize=False, add_generation_prompt=True
    )
    assert text.startswith("<|im_start|>system\nBe brief.\n# Tools\n{")
    assert example.answer in text
    assert text.endswith("<|im_start|>tool\ndone<|im_end|>\n<|im_start|>assistant\n")


def test_the_enlarged_target_says_the_same(
    tokenizer: PreTrainedTokenizerFast, small: Qwen2ForCausalLM
) -> None:
    """Identity layers add products with zero to the residual stream, and x + 0 is x: no difference
    at all, along each held-out prompt and the small model's own greedy answer. By induction over
    positions greedy decoding of both is then the same.
    """
    large = Qwen2ForCausalLM.from_pretrained(ensure_built().target).eval()
    assert large.config.num_hidden_layers == small.config.num_hidden_layers + SIZE.identity_layers
    for task in TASKS:
        heads = [encode(tokenizer, e)[0] for e in held_out(task, PROMPTS_PER_TASK)]
        answers = greedy(small, heads, tokenizer.eos_token_id)
        batch = collate(list(zip(heads, answers, strict=True)), tokenizer.pad_token_id)
        ours, theirs = logits(small, batch.tokens), logits(large, batch.tokens)
        assert torch.equal(ours.argmax(-1), theirs.argmax(-1)), task
        assert (ours - theirs).abs().max().item() == 0.0, task


def test_wider_mlps_differ_by_rounding_only(
    tokenizer: PreTrainedTokenizerFast, small: Qwen2ForCausalLM, tmp_path: Path
) -> None:
    enlarge(WEIGHTS / "target", tmp_path / "wide", Enlargement(1, 2048))
    wide = Qwen2ForCausalLM.from_pretrained(tmp_path / "wide").eval()
    for task in TASKS:
        rows = [encode(tokenizer, e) for e in held_out(task, PROMPTS_PER_TASK)]
        batch = collate(rows, tokenizer.pad_token_id)
        ours, theirs = logits(small, batch.tokens), logits(wide, batch.tokens)
        # Logits are of the order of 10; a sum of 2048 float32 products rounds at about 1e-6 each.
        assert (ours - theirs).abs().max().item() < 1e-3, task


def test_enlarging_never_shrinks(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="enlarging only adds"):
        enlarge(WEIGHTS / "target", tmp_path / "narrow", Enlargement(0, 16))


def test_building_twice_is_building_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPECSERVE_HOME", str(tmp_path))
    first = ensure_built()
    written = (first.target / "model.safetensors").stat().st_mtime_ns
    assert ensure_built() == first
    assert (first.target / "model.safetensors").stat().st_mtime_ns == written
    assert [path.name for path in tmp_path.iterdir()] == [first.target.name]


def test_weights_fit_the_repository() -> None:
    total = sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file())
    assert total <= 30e6


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 8))
def test_acceptance_length_counts_whole_steps(agree: list[bool], drafts: int) -> None:
    # Independent account: walk the steps token by token.
    steps, left = 1, drafts
    for i, same in enumerate(agree[:-1]):
        if not same or left == 0:
            steps, left = steps + 1, drafts
        else:
            left -= 1
        assert i < len(agree)
    assert acceptance_length(agree, drafts) == pytest.approx(len(agree) / steps)


def test_labels_are_the_answer_and_nothing_else(tokenizer: PreTrainedTokenizerFast) -> None:
    head, tail = encode(tokenizer, held_out("sql", 1)[0])
    batch = collate([(head, tail), (head, tail[:3])], tokenizer.pad_token_id)
    assert batch.labels[0][batch.labels[0] != IGNORED].tolist() == tail
    assert batch.labels[1][batch.labels[1] != IGNORED].tolist() == tail[:3]


def test_missing_weights_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="clone the repository again"):
        ensure_built(tmp_path)


def test_a_cache_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SPECSERVE_HOME", str(tmp_path / "file"))
    with pytest.raises(SpecserveError, match="in the variable SPECSERVE_HOME"):
        ensure_built()
