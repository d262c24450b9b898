"""For every rule one pair, or one pair and what it would be launched with, that breaks it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neuron.check.findings import Report
from neuron.check.lines import Line
from neuron.check.run import check
from neuron.check.subject import Given
from neuron.pair import Pair, load_pair

SHAPE: dict[str, Any] = {
    "model_type": "qwen3",
    "hidden_size": 1024,
    "num_hidden_layers": 4,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 64,
    "intermediate_size": 4096,
    "vocab_size": 151936,
    "tie_word_embeddings": True,
}
AWS: dict[str, Any] = {"plugin": "vllm-neuron", "tool_call_parser": None, "sampling": "greedy"}
BETA = "qwen3-32b-tp4-vllm-neuron"
LEGACY = "qwen3-32b-tp32-legacy"


@dataclass(frozen=True)
class Bad:
    fields: Mapping[str, Any] = field(default_factory=dict)
    of: str = "qwen3-32b-tp32"
    config: Mapping[str, Any] | None = None
    line: str = ""
    speculative: Mapping[str, Any] | None = None
    shape: Mapping[str, Any] | None = None
    """Written as the target's `config.json`."""
    driver: str | None = None
    runtime: str | None = None

    def report(self, folder: Path) -> Report:
        fields = dict(self.fields)
        if self.shape is not None:
            (folder / "config.json").write_text(json.dumps({**SHAPE, **self.shape}))
            fields["target"] = str(folder)
        pair = Pair.model_validate({**load_pair(self.of).model_dump(), **fields})
        argv = self.line.split()
        if self.speculative is not None:
            argv += ["--speculative-config", json.dumps(self.speculative)]
        return check(
            pair,
            config=Given(self.config, "overrides.json") if self.config is not None else None,
            line=Line.of(argv),
            driver=self.driver,
            runtime=self.runtime,
        )


def aws(config: Mapping[str, Any], **fields: Any) -> Bad:  # noqa: ANN401
    return Bad({**AWS, **fields}, config=config)


def sampler(**keys: bool) -> Bad:
    return aws({"on_device_sampling_config": keys})


SPECULATIVE = {"method": "draft_model", "num_speculative_tokens": 4}

BAD: Mapping[str, Bad] = {
    "vocabulary": Bad({"draft": "qwen2.5-0.5b"}, of="qwen2.5-72b-tp32"),
    "vocabulary-legacy": Bad({"target": "qwen2.5-72b", "draft": "qwen2.5-0.5b"}, of=LEGACY),
    "family": Bad(shape={"model_type": "llama"}),
    "family-mixed": Bad({"draft": "qwen2.5-0.5b"}),
    "draft-depth": Bad(of="qwen2.5-7b-tp4"),
    "hub-id-tied": Bad(line="vllm serve --model Qwen/Qwen3-1.7B"),
    "hub-id": Bad({"draft": "Qwen/Qwen3-1.7B"}),
    "model-config": Bad(shape={"num_experts": 128}),
    "model-missing": Bad({"target": "qwen2.5-720b"}),
    "model-unknown": Bad({"target": "/models/mystery"}),
    "model-by-name": Bad(),
    "tp-missing": Bad({"tp_degree": None}),
    "tp-cores": Bad({"tp_degree": 65}),
    "instance": Bad({"instance": None}),
    "tp-chips": Bad(of="qwen2.5-7b-tp8"),
    "kv-heads": Bad({"tp_degree": 12}),
    "q-heads": Bad(of="qwen2.5-32b-tp32"),
    "intermediate-size": Bad({"tp_degree": 48}),
    "lnc-qwen2": Bad({"lnc": 1}, of="qwen2.5-72b-tp32"),
    "hbm": Bad({"tp_degree": 4, "instance": "trn2.3xlarge"}, of="qwen2.5-72b-tp32"),
    "hbm-tight": Bad({"max_num_seqs": 28}, of="qwen3-32b-tp4"),
    "k-range": Bad({"num_draft_tokens": 20}),
    "k-length": Bad({"max_prompt_len": 4093}),
    "k-bucket": Bad({"max_prompt_len": 4}),
    "prompt-length": Bad({"max_prompt_len": None}),
    "segment-tp": Bad({"tp_degree": 6, "instance": "trn2.48xlarge"}, of=BETA),
    "reserved-tokens": Bad(),
    "speculation": Bad({"draft": "/models/Qwen3-1.7B"}, of=BETA),
    "prefix-caching": Bad({"prefix_caching": True}),
    "chunked-prefill": Bad(line="--enable-chunked-prefill"),
    "lora": Bad(line="--enable-lora"),
    "grammar": Bad({**AWS, "tool_call_parser": "hermes"}),
    "logprobs": Bad(AWS, line="--max-logprobs 5"),
    "sampling": Bad({**AWS, "sampling": "any"}),
    "plain-differs": Bad(),
    "not-run": Bad(),
    "stack-frozen": Bad(of=LEGACY),
    "artefact-unchecked": Bad(of=LEGACY),
    "key-dashed": Bad(AWS, config={"override-neuron-config": {}, "max_prompt_length": 3072}),
    "key-unknown": aws({"on_device_sampling_config": {"do_sampel": False}}),
    "key-dead": aws({"trace_tokengen_model": False}),
    "overrides-unread": Bad(config={"fused_qkv": True}),
    "saved-artefact": Bad(AWS, config={"neuron_config": {}, "fused_spec_config": None}),
    "draft-overrides": aws({"draft_overrides": {"on_device_sampling_config": {}}}),
    "sampler-object": aws({"on_device_sampling_config": [1]}),
    "sampler-missing": aws({"on_device_sampling_config": None}),
    "sampler-samples": sampler(do_sample=True),
    "sampler-dynamic": sampler(dynamic=True),
    "top-k-kernel": sampler(top_k_kernel_enabled=False),
    "block-kv": aws({"is_block_kv_layout": True}),
    "prefix-caching-fused": aws({"is_prefix_caching": True}),
    "generation-batches": aws({"token_generation_batches": [1, 4]}),
    "quantized-path": aws({"quantized": True}),
    "medusa-async": aws({"is_medusa": True, "async_mode": True}),
    "eagle-plain-draft": aws({"enable_eagle_speculation": True}),
    "output-logits": aws({"output_logits": True}),
    "kernels-qwen2": Bad(AWS, of="qwen2.5-72b-tp32", config={"mlp_kernel_enabled": True}),
    "parallel-fused": aws({"cp_degree": 2}),
    "override-differs": aws({"tp_degree": 64}),
    "speculation-length": aws({"speculation_length": 4}),
    "buckets": aws({"token_generation_buckets": [512, 256, 4096]}),
    "bucket-k": aws({"context_encoding_buckets": [5, 3072]}),
    "max-prompt-length": aws({"override_neuron_config": {"max_context_length": 3072}}),
    "blocks-override": Bad(AWS, line="--num-gpu-blocks-override 100"),
    "blocks-size": Bad(of=BETA, line="--num-gpu-blocks-override=2048"),
    "flag-value": Bad(line="--max-num-seqs --max-model-len"),
    "flag-unknown": Bad(line="--tensor-paralel-size 3"),
    "flag-differs": Bad(line="--max_num_seqs 8"),
    "tp-flag": Bad(line="-tp 32"),
    "async-scheduling": Bad(line="--async-scheduling"),
    "segment-length": Bad(of=BETA, line="--max-num-batched-tokens 3000"),
    "speculative-method": Bad(speculative={"num_speculative_tokens": 4}),
    "speculative-tokens": Bad(AWS, speculative=SPECULATIVE),
    "speculative-tp": Bad(speculative={**SPECULATIVE, "draft_tensor_parallel_size": 8}),
    "speculative-length": Bad(speculative={**SPECULATIVE, "max_model_len": 8192}),
    "speculative-plain": Bad({"draft": None}, speculative=SPECULATIVE),
    "driver-old": Bad(driver="2.26.5", runtime="2.33.10.0"),
    "runtime-old": Bad(driver="2.29", runtime="2.32"),
    "async-runtime": Bad(AWS, config={"async_mode": True}, runtime="2.34.10.0"),
    "version": Bad(runtime="latest"),
    "refused": Bad({"kv_cache_bytes": 1}),
}
