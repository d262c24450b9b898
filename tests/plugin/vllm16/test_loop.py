"""Platform, scheduler and worker by hand in one process, as vLLM's EngineCore drives them."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from neuron.errors import LaunchError, PairError
from neuron.plugin.activation import VARIABLE
from neuron.plugin.build import Facts
from neuron.plugin.fused import Limits
from neuron.plugin.refusals import Terms
from neuron.plugin.terms import BLOCK_SIZE, COMPILED, OPTIONS, TELLS_ACCEPTANCE, facts, terms
from tests.plugin.models import DRAFT, TARGET, Plain, prompts

K = 5
SLOTS = 4
COMPILED_LEN = 512
EOS = 2
NGRAM = {"method": "ngram", "num_speculative_tokens": K, "prompt_lookup_max": 3}
KV_TRANSFER = {"kv_connector": "ExampleConnector", "kv_role": "kv_both"}


def configured(**changes: Any) -> Any:  # noqa: ANN401 - vLLM is untyped to mypy
    # Importing vLLM and torch warns of their own deprecated parts.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from vllm.engine.arg_utils import EngineArgs

        draft = {"method": "draft_model", "model": str(DRAFT), "num_speculative_tokens": K}
        fields: dict[str, Any] = {
            "model": str(TARGET),
            "max_model_len": COMPILED_LEN,
            "max_num_seqs": SLOTS,
            "dtype": "float32",
            "enforce_eager": True,
            "speculative_config": draft,
            "additional_config": {OPTIONS: {"max_prompt_len": 300}},
        }
        return EngineArgs(**{**fields, **changes}).create_engine_config()


class FakeLoaded:
    """A model of which nothing is there but its limits."""

    def __init__(self, facts: Facts, **less: Any) -> None:  # noqa: ANN401
        full = Limits(
            rows=K + 1, slots=facts.slots, max_prompt=300, max_len=facts.max_len, vocab=3072
        )
        self._limits = replace(full, **less)

    def load(self) -> Limits:
        return self._limits


def smaller_slots(facts: Facts, options: object) -> FakeLoaded:
    return FakeLoaded(facts, slots=facts.slots - 1)


def smaller_max_prompt(facts: Facts, options: object) -> FakeLoaded:
    return FakeLoaded(facts, max_prompt=299)


def smaller_max_len(facts: Facts, options: object) -> FakeLoaded:
    return FakeLoaded(facts, max_len=facts.max_len - 1)


class Loop:
    def __init__(self) -> None:
        self.config = configured()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from vllm.config import set_current_vllm_config
            from vllm.v1.core.kv_cache_utils import (
                generate_scheduler_kv_cache_config,
                get_kv_cache_configs,
            )
            from vllm.v1.structured_output import StructuredOutputManager

            from neuron.plugin.scheduler import FusedScheduler
            from neuron.plugin.worker import FusedWorker

        with set_current_vllm_config(self.config):
            self.worker = FusedWorker(self.config, 0, 0, "", is_driver_worker=True)
            self.worker.init_device()
            self.worker.load_model()
            spec = self.worker.get_kv_cache_spec()
            memory = self.worker.determine_available_memory()
            blocks = generate_scheduler_kv_cache_config(
                get_kv_cache_configs(self.config, [spec], [memory])
            )
            self.config.cache_config.num_gpu_blocks = blocks.num_blocks
            self.grammars = StructuredOutputManager(self.config)
            self.scheduler = FusedScheduler(
                self.config, blocks, self.grammars, block_size=16, log_stats=True
            )
        self.tokens: dict[str, list[int]] = {}
        self.stats: list[Any] = []
        self.told: list[Any] = []

    def add(self, name: str, prompt: list[int], **sampling: Any) -> None:  # noqa: ANN401
        from vllm.sampling_params import SamplingParams
        from vllm.v1.request import Request

        params = SamplingParams(**{"temperature": 0.0, "max_tokens": 40, **sampling})
        params.update_from_generation_config({}, EOS)
        request = Request(
            request_id=name,
            prompt_token_ids=prompt,
            sampling_params=params,
            pooling_params=None,
            eos_token_id=EOS,
        )
        self.grammars.grammar_init(request)
        self.scheduler.add_request(request)
        self.tokens[name] = []

    def turn(self) -> None:
        scheduled = self.scheduler.schedule()
        output = self.worker.execute_model(scheduled)
        masks = self.scheduler.get_grammar_bitmask(scheduled)
        if output is None:
            output = self.worker.sample_tokens(masks)
        for outputs in self.scheduler.update_from_output(scheduled, output).values():
            for one in outputs.outputs:
                self.tokens[one.request_id] += one.new_token_ids
                self.told.append(one.kv_transfer_params)
            stats = outputs.scheduler_stats
            if stats and stats.spec_decoding_stats:
                self.stats.append(stats.spec_decoding_stats)
        drafts = self.worker.take_draft_token_ids()
        if drafts is not None:
            self.scheduler.update_draft_token_ids(drafts)

    def run(self) -> None:
        for _ in range(1000):
            if not self.scheduler.has_requests():
                return
            self.turn()
        pytest.fail("the scheduler still has requests after 1000 turns")


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.worker.shutdown()


def test_more_requests_than_slots_are_plain_greedy_generation(loop: Loop, plain: Plain) -> None:
    chosen = {f"g{i}": prompt for i, prompt in enumerate(prompts(9, "json_record"))}
    loop.stats.clear()
    for name, prompt in chosen.items():
        loop.add(name, prompt)
    loop.run()
    assert all(plain.explains(prompt, loop.tokens[name]) for name, prompt in chosen.items())
    assert sum(stats.num_accepted_tokens for stats in loop.stats) > 0
    assert {stats.num_spec_tokens for stats in loop.stats} == {K}
    assert {stats.num_draft_tokens / stats.num_drafts for stats in loop.stats} == {K}


def test_there_are_blocks_for_every_slot_to_its_end(loop: Loop) -> None:
    per_slot = -(-(COMPILED_LEN - K) // BLOCK_SIZE)
    # One more is vLLM's null block.
    assert loop.config.cache_config.num_gpu_blocks == SLOTS * per_slot + 1


def test_a_step_without_drafts_has_no_counts(loop: Loop) -> None:
    loop.add("drafted", prompts(1, "sql")[0])
    loop.turn()
    loop.told.clear()
    loop.turn()
    loop.scheduler.requests["drafted"].spec_token_ids = []
    loop.turn()
    first, second = loop.told
    assert (first["drafted"], second) == (K, None)
    loop.run()


def test_what_vllm_refuses_beside_drafts_is_let_through(loop: Loop) -> None:
    from vllm.sampling_params import SamplingParams
    from vllm.v1.engine.input_processor import InputProcessor

    validate = InputProcessor._validate_supported_sampling_params
    asked = SamplingParams(min_p=0.1, min_tokens=2, logit_bias={5: 1.0})
    processor = SimpleNamespace(vllm_config=loop.config)
    validate(processor, asked)
    with pytest.raises(ValueError, match="not yet supported with speculative decoding"):
        validate.__wrapped__(processor, asked)


def test_the_platform_says_why_it_refuses(loop: Loop) -> None:
    from vllm.platforms import current_platform
    from vllm.sampling_params import SamplingParams

    current_platform.check_and_update_config(loop.config)
    with pytest.raises(ValueError, match="prompt has 301 tokens"):
        current_platform.validate_request(
            None, SamplingParams(max_tokens=1), {"prompt_token_ids": [5] * 301}
        )


def test_counts_leave_only_for_a_server_that_takes_them_out(loop: Loop) -> None:
    additional = loop.config.additional_config
    assert additional[TELLS_ACCEPTANCE] is True
    for name, tells in (("silent", False), ("telling", True)):
        additional[TELLS_ACCEPTANCE] = tells
        loop.told.clear()
        loop.stats.clear()
        loop.add(name, prompts(1, "sql")[0])
        loop.run()
        # The prefill's token comes without.
        steps = [step for step in loop.told if step is not None]
        assert len(steps) == (len(loop.stats) if tells else 0)
        assert sum(step["accepted"] for step in steps) == (
            sum(stats.num_accepted_tokens for stats in loop.stats) if tells else 0
        )


def test_an_abort_frees_the_slot_whenever_it_comes(loop: Loop, plain: Plain) -> None:
    from vllm.v1.request import RequestStatus

    chosen = prompts(8, "sql")
    for turns in range(4):
        for i, prompt in enumerate(chosen):
            loop.add(f"a{turns}-{i}", prompt, max_tokens=24)
        for _ in range(turns):
            loop.turn()
        gone = [f"a{turns}-{i}" for i in (0, 2, 5)]
        loop.scheduler.finish_requests(gone, RequestStatus.FINISHED_ABORTED)
        loop.run()
        for i, prompt in enumerate(chosen):
            tokens = loop.tokens[f"a{turns}-{i}"]
            assert plain.explains(prompt, tokens) if tokens else f"a{turns}-{i}" in gone


# vLLM 0.16 passes it to the xgrammar that it pins.
@pytest.mark.filterwarnings("ignore:max_rollback_tokens is deprecated:DeprecationWarning")
def test_grammar_sampled_and_greedy_requests_together(loop: Loop, plain: Plain) -> None:
    from vllm.sampling_params import StructuredOutputsParams

    first, second, third = prompts(3, "json_record")
    grammar = StructuredOutputsParams(regex=r"\{\"n\": [0-9]{3}\}")
    grammar._backend = "xgrammar"
    loop.add("bound", first, structured_outputs=grammar)
    loop.add("hot", second, temperature=1.0, seed=3, logprobs=2)
    loop.add("greedy", third)
    loop.run()
    assert plain.explains(third, loop.tokens["greedy"])
    assert len(loop.tokens["hot"]) > 1

    from transformers import AutoTokenizer

    text = AutoTokenizer.from_pretrained(TARGET).decode(
        loop.tokens["bound"], skip_special_tokens=True
    )
    assert len(json.loads(text)) == 1


def test_a_configuration_is_fitted_once(loop: Loop) -> None:
    config = loop.config
    before = (config.model_config.max_model_len, config.scheduler_config.max_num_batched_tokens)
    from vllm.platforms import current_platform

    current_platform.check_and_update_config(config)
    after = (config.model_config.max_model_len, config.scheduler_config.max_num_batched_tokens)
    assert before == after == (COMPILED_LEN - K, COMPILED_LEN - K + SLOTS * (K + 1))
    assert config.additional_config[COMPILED] == COMPILED_LEN
    assert facts(config).max_len == COMPILED_LEN


def test_what_a_fused_step_has_no_use_for_is_off() -> None:
    asked = {"enable_prefix_caching": True, "enable_chunked_prefill": True}
    config = configured(**asked, async_scheduling=True)
    schedule = config.scheduler_config
    assert not config.cache_config.enable_prefix_caching
    assert (schedule.enable_chunked_prefill, schedule.async_scheduling) == (False, False)


@pytest.mark.parametrize("inside", [False, True])
def test_terms_are_what_the_flags_and_options_say(inside: bool) -> None:
    structured = {"reasoning_parser": "qwen3", "enable_in_reasoning": inside}
    options = {"max_prompt_len": 300, "logits": False}
    config = configured(structured_outputs_config=structured, additional_config={OPTIONS: options})
    assert terms(config) == Terms(
        max_prompt=300,
        max_len=COMPILED_LEN,
        num_draft_tokens=K,
        vocab=3072,
        logits=False,
        reasoning=not inside,
    )


@pytest.mark.parametrize("less", ["slots", "max_prompt", "max_len"])
def test_a_model_of_less_than_was_promised_does_not_start(
    less: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from neuron.plugin.worker import FusedWorker

    monkeypatch.setenv(VARIABLE, f"{__name__}:smaller_{less}")
    worker = FusedWorker(configured(), 0, 0, "", is_driver_worker=True)
    with pytest.raises(LaunchError, match="less than the engine was started for"):
        worker.load_model()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"speculative_config": None}, "needs a draft"),
        ({"speculative_config": NGRAM}, "needs a draft"),
        ({"max_model_len": K + 1}, f"--max-model-len {K + 1} leaves nothing beside {K} drafts"),
        ({"pipeline_parallel_size": 2}, "--pipeline-parallel-size"),
        ({"tensor_parallel_size": 2}, "--tensor-parallel-size"),
        ({"data_parallel_size": 2}, "--data-parallel-size"),
        ({"enable_lora": True}, "--enable-lora"),
        ({"kv_transfer_config": KV_TRANSFER}, "--kv-transfer-config"),
        ({"enable_prompt_embeds": True}, "--enable-prompt-embeds"),
        ({"runner": "pooling"}, "--runner pooling"),
        ({"logprobs_mode": "processed_logprobs"}, "--logprobs-mode"),
    ],
)
def test_what_would_change_answers_is_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises((PairError, ValueError), match=says):
        configured(**change)
