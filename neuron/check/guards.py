"""The rules on values of a NeuronConfig, as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from neuron.check.findings import Rule, Severity
from neuron.check.view import Guard, View
from neuron.evidence import AWS_PLUGIN, NXDI, SDK, Source, source

CONFIG = source(NXDI, "models/config.py", "X")
BASE = source(NXDI, "models/model_base.py")
LOADER = source(AWS_PLUGIN, "worker/neuronx_distributed_model_loader.py")

SAMPLER = "on_device_sampling_config"
KERNELS = ("qkv_kernel_enabled", "mlp_kernel_enabled", "attn_block_tkg_nki_kernel_enabled")
PARALLEL = ("cp_degree", "attention_dp_degree", "pp_degree", "ep_degree")


def _guard(
    id: str,  # noqa: A002 - the rule's
    key: str,
    applies: Callable[[View], bool],
    what: str,
    says: str,
    *,
    severity: Severity = "error",
    source: Source = CONFIG,
) -> Guard:
    return Guard(Rule(id=id, severity=severity, what=what, source=source), key, applies, says)


GUARDS = (
    _guard(
        "sampler-object",
        "on_device_sampling_config",
        lambda view: not isinstance(view.values.get(SAMPLER), Mapping | None),
        "a sampling configuration that is neither an object nor null",
        'is no object, and NxDI builds its sampler from one; write {"do_sample": false}',
    ),
    _guard(
        "sampler-missing",
        "on_device_sampling_config",
        lambda view: view.no_sampler and (view.fused or view.on("async_mode")),
        "fused speculation or `async_mode` without sampling on the device",
        'is null, and a fused step or async_mode needs one; set {"do_sample": false}',
    ),
    _guard(
        "sampler-samples",
        "on_device_sampling_config.do_sample",
        lambda view: view.fused and view.sampler.get("do_sample") is True,
        "`do_sample` on a fused graph, which then fails on its shapes",
        "is true, and a fused step then samples its last position only and fails; set it to false",
        source=BASE,
    ),
    _guard(
        "sampler-dynamic",
        "on_device_sampling_config.dynamic",
        lambda view: view.fused and view.sampler.get("dynamic") is True,
        "`dynamic` on a fused graph: a top-256 sampler in every draft pass",
        "is true, so that a temperature changes the first token only and each draft pass sorts; "
        "set it to false",
        severity="warning",
        source=BASE,
    ),
    _guard(
        "top-k-kernel",
        "on_device_sampling_config.top_k_kernel_enabled",
        lambda view: view.sampler.get("top_k_kernel_enabled") is False,
        "the top-k kernel switched off, which gives wrong tokens at batches up to 4",
        "is false, which is known to give wrong tokens at batches up to 4; leave it out",
        source=source(SDK, "release-notes/components/nxd-inference.rst", "D"),
    ),
    _guard(
        "block-kv",
        "is_block_kv_layout",
        lambda view: view.fused and view.on("is_block_kv_layout"),
        "a block KV layout with a plain draft",
        "is true, and slots are recomputed for EAGLE drafts only; set it to false",
        source=BASE,
    ),
    _guard(
        "prefix-caching-fused",
        "is_prefix_caching",
        lambda view: view.fused and view.on("is_prefix_caching"),
        "NxDI's prefix caching with a plain draft",
        "is true, and its slot list is wrong across blocks with a plain draft; set it to false",
        source=BASE,
    ),
    _guard(
        "generation-batches",
        "token_generation_batches",
        lambda view: view.fused and bool(view.values.get("token_generation_batches")),
        "`token_generation_batches` with any speculation",
        "is set, and NxDI raises for it with speculation; leave it out",
    ),
    _guard(
        "quantized-path",
        "quantized",
        lambda view: view.on("quantized") and not view.values.get("quantized_checkpoints_path"),
        "`quantized` without `quantized_checkpoints_path`",
        "is true without quantized_checkpoints_path; set that too",
    ),
    _guard(
        "medusa-async",
        "is_medusa",
        lambda view: view.on("is_medusa") and view.on("async_mode"),
        "Medusa with `async_mode`",
        "is true together with async_mode, which NxDI raises for; leave one out",
    ),
    _guard(
        "eagle-plain-draft",
        "enable_eagle_speculation",
        lambda view: view.on("enable_eagle_speculation") and view.subject.draft is not None,
        "EAGLE switched on for a draft that is a plain model",
        "is true, and the pair's draft is a plain model without an EAGLE head; set it to false",
        source=LOADER,
    ),
    _guard(
        "output-logits",
        "output_logits",
        lambda view: view.fused and view.on("output_logits"),
        "`output_logits` under AWS's plugin, which then misreads a step's last output",
        "is true, and AWS's plugin takes a step's last output for positions; set it to false",
        source=LOADER,
    ),
    _guard(
        "kernels-qwen2",
        "qkv_kernel_enabled",
        lambda view: view.qwen2 and any(view.on(kernel) for kernel in KERNELS),
        "kernel switches with Qwen2, where they are not wired",
        "and its like do nothing for Qwen2; leave them out",
        severity="warning",
        source=source(NXDI, "models/qwen2/modeling_qwen2.py"),
    ),
    _guard(
        "parallel-fused",
        "cp_degree",
        lambda view: (
            view.fused
            and (
                view.on("flash_decoding_enabled")
                or any(view.values.get(key, 1) != 1 for key in PARALLEL)
            )
        ),
        "other parallelism than TP, or flash decoding, with a plain draft",
        "or another degree beside tp_degree, or flash decoding, is set, which nobody has tried "
        "with a plain draft; leave it out",
        severity="warning",
        source=source(NXDI, "models/config.py", "I"),
    ),
)
