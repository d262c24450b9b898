"""Our platform for vLLM 0.16: names the worker, fits the configuration, checks each request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from vllm.platforms.interface import Platform, PlatformEnum

from neuron.plugin.refusals import Terms, refusal
from neuron.plugin.terms import TELLS_ACCEPTANCE, fit, terms

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.pooling_params import PoolingParams
    from vllm.sampling_params import SamplingParams

WORKER = "neuron.plugin.worker.FusedWorker"
SCHEDULER = "neuron.plugin.scheduler.FusedScheduler"


class FusedPlatform(Platform):  # type: ignore[misc] # vLLM is untyped to mypy
    _enum = PlatformEnum.OOT
    # vLLM's own tensors stay on the host; the device is the fused model's affair.
    device_name = "specserve"
    device_type = "cpu"
    dispatch_key = "CPU"
    dist_backend = "gloo"
    _terms: Terms | None = None

    @classmethod
    def import_kernels(cls) -> None:
        """None: the wheel's need not fit this machine, and nothing here calls one."""

    @classmethod
    def get_device_name(cls, device_id: int = 0) -> str:
        return cls.device_name

    @classmethod
    def get_device_total_memory(cls, device_id: int = 0) -> int:
        """0: vLLM asks in order to choose defaults, and allocates nothing here."""
        return 0

    @classmethod
    def is_pin_memory_available(cls) -> bool:
        return False

    @classmethod
    def inference_mode(cls) -> torch.no_grad:
        return torch.no_grad()

    @classmethod
    def check_and_update_config(cls, vllm_config: VllmConfig) -> None:
        """Raises PairError."""
        if vllm_config.model_config is None:
            return
        fit(vllm_config, worker=WORKER, scheduler=SCHEDULER)
        cls._terms = terms(vllm_config)
        # Late: both import parts of vLLM that import this platform.
        from neuron.plugin.answers import tell_acceptance
        from neuron.plugin.repairs import serve_what_the_host_verifies

        vllm_config.additional_config[TELLS_ACCEPTANCE] = tell_acceptance()
        if cls._terms.logits:
            serve_what_the_host_verifies()

    @classmethod
    def validate_request(
        cls,
        prompt: object,
        params: SamplingParams | PoolingParams,
        processed_inputs: Any,  # noqa: ANN401 - a union of vLLM's typed dicts
    ) -> None:
        """Raises ValueError, which vLLM's servers answer with 400."""
        if cls._terms is None:
            return
        tokens = processed_inputs.get("prompt_token_ids") or ()
        reason = refusal(cls._terms, tokens, params)
        if reason is not None:
            raise ValueError(reason)
