"""Whether vLLM runs on our platform. Called by every vLLM that finds this package installed."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path

VARIABLE = "SPECSERVE_PLUGIN"
"""`nxdi`, `torch`, or `package.module:function` for another fused model; `off` for none of ours."""
VLLM_SERIES = "0.16."
PLATFORM = "neuron.plugin.platform.FusedPlatform"
NEURON_DEVICE = Path("/dev/neuron0")

# Below vLLM's own logger, so that the note is shown with the engine's.
logger = logging.getLogger("vllm.specserve_plugin")


def register() -> str | None:
    """The entry point in the group `vllm.platform_plugins`."""
    from vllm.version import __version__

    asked = model_name(os.environ, device=NEURON_DEVICE.exists())
    if asked is None:
        return None
    if not __version__.startswith(VLLM_SERIES):
        if VARIABLE in os.environ:
            logger.warning(
                "%s is set, but specserve's platform is for vLLM %sx and this is %s: it is off.",
                VARIABLE,
                VLLM_SERIES,
                __version__,
            )
        return None
    return PLATFORM


def model_name(environment: Mapping[str, str], *, device: bool) -> str | None:
    """Which fused model is asked for; without being asked, NxDI's where there is a device."""
    named = environment.get(VARIABLE, "nxdi" if device else "off")
    return None if named in ("", "off") else named
