"""Everything that we use of NxDI, behind one seam: imported late, or handed in by a test.

`UPSTREAM` records each call with the file and line it was read at, in NXDI
4bcdc54bf3b6ccdad490e5cd0680a3dc95270b8e (2026-07-28, `__version__` 0.9.0). Not run on a device.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from neuron.errors import LaunchError
from neuron.plugin.nxdi_repairs import KNOWN
from neuron.plugin.nxdi_settings import Family

if TYPE_CHECKING:
    import torch

PACKAGE = "neuronx_distributed_inference"


class Outputs(Protocol):
    fused_outputs: list[torch.Tensor]


class Application(Protocol):
    """One NeuronQwen…ForCausalLM. Compiling takes minutes to hours, loading minutes."""

    def compile(self, compiled_model_path: str) -> None: ...

    def load(self, compiled_model_path: str) -> None: ...

    def __call__(
        self,
        *,
        input_ids: torch.Tensor,
        seq_ids: torch.Tensor,
        attention_mask: torch.Tensor,
        position_ids: torch.Tensor,
        sampling_params: torch.Tensor,
    ) -> Outputs: ...


class ApplicationClass(Protocol):
    _model_cls: Any

    def __call__(self, model_path: str, config: Any) -> Application: ...  # noqa: ANN401

    def get_config_cls(self) -> Any: ...  # noqa: ANN401

    def get_neuron_config_cls(self) -> Any: ...  # noqa: ANN401


@dataclass(frozen=True)
class Nxdi:
    version: str
    applications: Mapping[Family, ApplicationClass]
    sampling_config: Callable[..., Any]
    fused_config: Callable[..., Any]
    load_pretrained_config: Callable[[str], Any]
    fused_model: type
    """NeuronFusedSpecModel, which is repaired in place before anything is traced."""
    known_sources: Mapping[str, str] = field(default_factory=lambda: KNOWN)


@dataclass(frozen=True)
class Upstream:
    module: str
    """Below the package."""
    name: str
    line: int
    parameters: tuple[str, ...]
    """Those that we pass, by name, or by place where they come first."""


UPSTREAM = (
    Upstream("models.config", "NeuronConfig", 92, ("kwargs",)),
    Upstream("models.config", "OnDeviceSamplingConfig", 1065, ("kwargs",)),
    Upstream(
        "models.config",
        "FusedSpecNeuronConfig",
        1051,
        ("worker_cls", "draft_config", "draft_model_path", "draft_model_cls"),
    ),
    Upstream("models.config", "InferenceConfig", 853, ("neuron_config", "load_config")),
    Upstream("utils.hf_adapter", "load_pretrained_config", 36, ("model_path_or_name",)),
    Upstream("models.application_base", "NeuronApplicationBase", 73, ("model_path", "config")),
    Upstream(
        "models.application_base",
        "NeuronApplicationBase.compile",
        292,
        ("compiled_model_path",),
    ),
    Upstream(
        "models.application_base", "NeuronApplicationBase.load", 318, ("compiled_model_path",)
    ),
    Upstream("models.application_base", "NeuronApplicationBase.get_neuron_config_cls", 224, ()),
    Upstream("models.qwen2.modeling_qwen2", "NeuronQwen2ForCausalLM.get_config_cls", 234, ()),
    Upstream("models.qwen3.modeling_qwen3", "NeuronQwen3ForCausalLM.get_config_cls", 289, ()),
    Upstream(
        "models.model_base",
        "NeuronBaseForCausalLM.forward",
        3314,
        ("input_ids", "seq_ids", "attention_mask", "position_ids", "sampling_params"),
    ),
    Upstream("models.model_base", "NeuronFusedSpecModel._token_gen_forward", 1812, ()),
    Upstream("models.model_base", "NeuronFusedSpecModel._context_encoding_forward", 1750, ()),
)
"""Where each thing we call is defined. tests/plugin/test_nxdi_upstream.py holds an installed
package to it, and the fake NxDI of the tests as well."""


def installed() -> Nxdi:
    """Imports NxDI, which takes seconds and a Neuron environment. Raises LaunchError."""
    try:
        package = importlib.import_module(PACKAGE)
        config, hf_adapter, base, qwen2, qwen3 = (
            importlib.import_module(f"{PACKAGE}.{name}")
            for name in (
                "models.config",
                "utils.hf_adapter",
                "models.model_base",
                "models.qwen2.modeling_qwen2",
                "models.qwen3.modeling_qwen3",
            )
        )
    except ImportError as error:
        raise LaunchError(
            f"NxDI cannot be imported ({error}): the nxdi stack runs in the image "
            "0.16.0-neuronx-py312-sdk2.31.1-ubuntu24.04, and the pair local on any CPU."
        ) from error
    return Nxdi(
        version=str(package.__version__),
        applications={
            "qwen2": qwen2.NeuronQwen2ForCausalLM,
            "qwen3": qwen3.NeuronQwen3ForCausalLM,
        },
        sampling_config=config.OnDeviceSamplingConfig,
        fused_config=config.FusedSpecNeuronConfig,
        load_pretrained_config=hf_adapter.load_pretrained_config,
        fused_model=base.NeuronFusedSpecModel,
    )
