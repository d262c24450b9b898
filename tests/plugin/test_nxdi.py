"""NxdiFusedModel over the fake NxDI: the protocol above, NxDI's calls below."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from neuron.errors import LaunchError, PairError
from neuron.plugin.fused import ContractError, Feed, FusedModel, Limits
from neuron.plugin.nxdi import NxdiFusedModel
from neuron.plugin.nxdi_settings import NxdiSettings
from tests.plugin.fake_nxdi import VOCAB, Recorded, draft_rule, fake_nxdi, greedy, write_model

PROMPTS = {0: [5, 9, 2, 7], 1: [11] * 9, 2: [3, 1, 4, 1, 5, 9, 2, 6], 3: list(range(40, 80))}


@pytest.fixture
def settings(tmp_path: Path) -> Callable[..., NxdiSettings]:
    def build(**changes: object) -> NxdiSettings:
        chosen: dict[str, Any] = {
            "target": write_model(tmp_path / "target"),
            "draft": write_model(tmp_path / "draft"),
            "num_draft_tokens": 3,
            "max_model_len": 300,
            "max_prompt_len": 150,
            "max_num_seqs": 4,
            "tp_degree": 8,
            "artefacts": str(tmp_path / "artefacts"),
        }
        return NxdiSettings(**{**chosen, **changes})

    return build


def loaded(settings: NxdiSettings) -> tuple[NxdiFusedModel, Recorded]:
    recorded = Recorded()
    model = NxdiFusedModel(settings, lambda: fake_nxdi(recorded))
    model.load()
    return model, recorded


def run(model: FusedModel, slot: int, prompt: list[int], steps: int, rows: int) -> list[int]:
    """One sequence alone, from its prompt."""
    tokens = [model.prefill(slot, prompt).token]
    for _ in range(steps):
        position = len(prompt) + len(tokens) - 1
        tokens += model.step([Feed(slot, tokens[-1], position)], rows)[0].tokens
    return tokens


def test_it_is_a_fused_model_with_the_limits_it_was_compiled_for(
    settings: Callable[..., NxdiSettings],
) -> None:
    recorded = Recorded()
    model: FusedModel = NxdiFusedModel(settings(), lambda: fake_nxdi(recorded))
    assert model.load() == Limits(
        rows=4, slots=4, max_prompt=150, max_len=300, vocab=VOCAB, logits=True
    )


@pytest.mark.parametrize("logits", [True, False], ids=["logits", "greedy only"])
@pytest.mark.parametrize("k", [2, 4, 6])
def test_sequences_of_all_lengths_say_what_the_target_alone_says(
    settings: Callable[..., NxdiSettings], k: int, logits: bool
) -> None:
    model, _ = loaded(settings(num_draft_tokens=k - 1, logits=logits))
    said = {slot: [model.prefill(slot, prompt).token] for slot, prompt in PROMPTS.items()}
    steps = 0
    while min(map(len, said.values())) < 40:
        feeds = [
            Feed(slot, tokens[-1], len(PROMPTS[slot]) + len(tokens) - 1)
            for slot, tokens in said.items()
        ]
        for slot, one in zip(said, model.step(feeds, k), strict=True):
            assert 1 <= len(one.tokens) <= k
            said[slot] += one.tokens
        steps += 1
    assert steps < 40, "some drafts were accepted"
    for slot, tokens in said.items():
        assert tokens == greedy(PROMPTS[slot], len(tokens))


def test_a_sequence_that_sits_out_keeps_its_caches(settings: Callable[..., NxdiSettings]) -> None:
    """The padding that NxDI would make itself writes into the caches of absent slots."""
    model, _ = loaded(settings())
    tokens = [model.prefill(2, PROMPTS[2]).token]
    first = model.step([Feed(2, tokens[0], len(PROMPTS[2]))], 4)[0].tokens
    run(model, 0, PROMPTS[0], steps=15, rows=4)
    tokens += first
    tokens += model.step([Feed(2, tokens[-1], len(PROMPTS[2]) + len(tokens) - 1)], 4)[0].tokens
    assert tokens == greedy(PROMPTS[2], len(tokens))


def test_a_slot_is_used_again(settings: Callable[..., NxdiSettings]) -> None:
    model, _ = loaded(settings())
    for slot, prompt in [(1, PROMPTS[3]), (1, PROMPTS[0]), (1, [8])]:
        tokens = run(model, slot, prompt, steps=5, rows=4)
        assert tokens == greedy(prompt, len(tokens))
        model.release(slot)


@pytest.mark.parametrize("length", [1, 2, 3, 127, 128, 129, 149, 150])
def test_prompts_of_every_awkward_length(
    settings: Callable[..., NxdiSettings], length: int
) -> None:
    model, _ = loaded(settings())
    prompt = [(7 * i + 1) % VOCAB for i in range(length)]
    tokens = run(model, 3, prompt, steps=3, rows=4)
    assert tokens == greedy(prompt, len(tokens))


def test_the_host_may_continue_from_any_prefix(settings: Callable[..., NxdiSettings]) -> None:
    model, _ = loaded(settings())
    prompt = PROMPTS[1]
    tokens = [model.prefill(1, prompt).token]
    for _ in range(12):
        stepped = model.step([Feed(1, tokens[-1], len(prompt) + len(tokens) - 1)], 4)[0]
        tokens.append(stepped.tokens[0])
        run(model, 0, PROMPTS[0], steps=1, rows=4)
    assert tokens == greedy(prompt, len(tokens))


def test_logits_and_candidates_are_those_of_the_sequence(
    settings: Callable[..., NxdiSettings],
) -> None:
    model, _ = loaded(settings())
    first = model.prefill(3, PROMPTS[3], logits=True)
    assert first.logits is not None
    assert first.logits.shape == (VOCAB,)
    assert int(first.logits.argmax()) == first.token
    model.prefill(0, PROMPTS[0])
    feeds = [
        Feed(3, first.token, len(PROMPTS[3]), logits=True),
        Feed(0, 1, len(PROMPTS[0])),
    ]
    asked, plain = model.step(feeds, 4)
    assert (plain.candidates, plain.logits) == (None, None)
    assert asked.logits is not None
    assert asked.logits.shape == (4, VOCAB)
    assert asked.logits.dtype == torch.float32
    prefix = [*PROMPTS[3], first.token]
    drafts: list[int] = []
    for _ in range(3):
        drafts.append(draft_rule([*prefix, *drafts]))
    assert asked.candidates == tuple(drafts)
    chosen = asked.logits.argmax(dim=1).tolist()
    assert tuple(chosen[: len(asked.tokens)]) == asked.tokens


def test_the_last_step_that_fits_and_the_first_that_does_not(
    settings: Callable[..., NxdiSettings],
) -> None:
    model, recorded = loaded(settings())
    model.prefill(0, PROMPTS[0])
    model.step([Feed(0, 1, 296)], 4)
    assert recorded.steps[-1]["attention_mask"].shape == (4, 296)
    with pytest.raises(ContractError, match="position 297 has no room for 4 rows"):
        model.step([Feed(0, 1, 297)], 4)
    # It is still there, and a neighbour's step must not push it over the end.
    run(model, 1, PROMPTS[1], steps=2, rows=4)


def test_it_compiles_once_and_loads_after_that(settings: Callable[..., NxdiSettings]) -> None:
    chosen = settings()
    _, first = loaded(chosen)
    _, second = loaded(chosen)
    assert (first.compiled, first.loaded) == ([chosen.artefacts], [chosen.artefacts])
    assert (second.compiled, second.loaded) == ([], [chosen.artefacts])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"max_num_seqs": 2}, "max_num_seqs = 4 instead of 2"),
        ({"num_draft_tokens": 5}, "num_draft_tokens = 3 instead of 5"),
        ({"logits": False}, r"logits = True instead of False, repairs = \['mask', 'cand"),
    ],
)
def test_an_artefact_compiled_for_something_else_is_refused(
    settings: Callable[..., NxdiSettings], change: dict[str, object], said: str
) -> None:
    loaded(settings())
    with pytest.raises(LaunchError, match=f"{said}.*give another folder") as caught:
        loaded(settings(**change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("note", [None, "[]", "{"])
def test_an_artefact_that_is_not_ours_is_refused(
    settings: Callable[..., NxdiSettings], note: str | None
) -> None:
    chosen = settings()
    folder = Path(chosen.artefacts)
    folder.mkdir()
    (folder / "model.pt").touch()
    if note is not None:
        (folder / "specserve.json").write_text(note, encoding="utf-8")
    with pytest.raises(LaunchError, match="our note"):
        loaded(chosen)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda outputs: outputs[:4], "4 outputs instead of 6"),
        (lambda outputs: [outputs[0][:, :2], *outputs[1:]], r"tokens of shape \(4, 2\)"),
        (lambda outputs: [*outputs[:3], outputs[3] + 1, *outputs[4:]], "next positions"),
        (lambda outputs: [*outputs[:4], outputs[5], outputs[5]], "candidates of shape"),
        (lambda outputs: [*outputs[:5], outputs[5][:, :, :9]], "logits of shape"),
        (
            lambda outputs: [
                torch.full_like(outputs[0], -1),
                *outputs[1:3],
                torch.tensor([[4], [1], [1], [1]]),
                *outputs[4:],
            ],
            "1 to k tokens",
        ),
    ],
)
def test_outputs_that_break_the_contract_are_noticed(
    settings: Callable[..., NxdiSettings], spoil: Callable[[list[Any]], list[Any]], said: str
) -> None:
    model, recorded = loaded(settings())
    model.prefill(0, PROMPTS[0])
    with recorded.spoiled(spoil), pytest.raises(ContractError, match=said):
        model.step([Feed(0, 1, 4)], 4)


def test_a_prefill_that_emits_more_than_one_token_is_noticed(
    settings: Callable[..., NxdiSettings],
) -> None:
    model, recorded = loaded(settings())
    more = torch.tensor([[1, 2, -1, -1]], dtype=torch.int32)
    spoiled = recorded.spoiled(lambda outputs: [more, *outputs[1:]])
    with spoiled, pytest.raises(ContractError, match="emits one token"):
        model.prefill(0, PROMPTS[0])


def test_what_the_limits_forbid_never_reaches_nxdi(settings: Callable[..., NxdiSettings]) -> None:
    model, recorded = loaded(settings(logits=False))
    with pytest.raises(ContractError, match="1 to 150 tokens here, not 151"):
        model.prefill(0, [1] * 151)
    with pytest.raises(ContractError, match="compiled without logits"):
        model.step([Feed(0, 1, 5, logits=True)], 4)
    with pytest.raises(ContractError, match="no graph of 3 rows"):
        model.step([Feed(0, 1, 5)], 3)
    assert (recorded.prefills, recorded.steps) == ([], [])


def test_a_closed_model_says_so(settings: Callable[..., NxdiSettings]) -> None:
    model, _ = loaded(settings())
    model.close()
    with pytest.raises(ContractError, match="not loaded"):
        model.prefill(0, PROMPTS[0])


def test_vocabularies_that_differ_are_refused(
    settings: Callable[..., NxdiSettings], tmp_path: Path
) -> None:
    chosen = settings(draft=write_model(tmp_path / "small", vocab=90))
    with pytest.raises(PairError, match=r"90 is not the target's 97.*pad the draft's to 97 rows"):
        loaded(chosen)


@pytest.mark.parametrize("kind", ["llama", None])
def test_another_family_is_refused(
    settings: Callable[..., NxdiSettings], tmp_path: Path, kind: str | None
) -> None:
    folder = write_model(tmp_path / "other", kind="llama")
    if kind is None:
        (Path(folder) / "config.json").write_text(json.dumps({"vocab_size": VOCAB}))
    with pytest.raises(PairError, match=r"qwen2 and qwen3|no model_type"):
        loaded(settings(target=folder))


@pytest.mark.parametrize("part", ["target", "draft"])
def test_a_rotary_base_that_nxdi_reads_past_is_refused(
    settings: Callable[..., NxdiSettings], tmp_path: Path, part: str
) -> None:
    folder = Path(write_model(tmp_path / "newer"))
    config = json.loads((folder / "config.json").read_text())
    config["rope_parameters"] = {"rope_type": "default", "rope_theta": 1000000.0}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(PairError, match=r'add "rope_theta": 1000000\.0 at the top'):
        loaded(settings(**{part: str(folder)}))
    (folder / "config.json").write_text(json.dumps({**config, "rope_theta": 1000000.0}))
    loaded(settings(**{part: str(folder)}))
