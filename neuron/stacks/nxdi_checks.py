"""What the nxdi stack cannot run, said before hardware is booked."""

from __future__ import annotations

from pathlib import Path

from neuron.errors import LaunchError, PairError
from neuron.models import vocab_size
from neuron.pair import Pair
from neuron.plugin.nxdi_settings import family_of, require_rotary_base

CORES_AT_LNC2 = {"trn2.3xlarge": 4, "trn2.48xlarge": 64, "trn2u.48xlarge": 64}
"""Logical cores: AWS's Neuron documentation, trn2-arch.rst. At LNC 1 there are twice as many."""


def check_device(pair: Pair, devices: Path = Path("/dev")) -> None:
    """Raises LaunchError on a machine without a Neuron device."""
    if not any(devices.glob("neuron[0-9]*")):
        raise LaunchError(
            f"Pair {pair.name!r} needs a Neuron device, and there is no {devices}/neuron0 on this "
            "machine: --dry-run prints the command, and the pair local runs on any CPU."
        )


def check_keys(pair: Pair, *, plain: bool) -> None:
    def refuse(key: str, why: str) -> None:
        raise PairError(f"Key {key!r} in pair {pair.name!r}: {why}.")

    if pair.prefix_caching:
        why = (
            "the plain engine is started without a prefix cache, as the one it is compared with"
            if plain
            else "NxDI's fused step has no prefix cache"
        )
        refuse("prefix_caching", f"{why}; set it to false")
    if pair.kv_cache_bytes is not None:
        refuse("kv_cache_bytes", "NxDI's caches are max_num_seqs × max_model_len; remove it")
    for key in ("tp_degree", "max_prompt_len", "artefacts"):
        if getattr(pair, key) is None:
            refuse(key, "it is missing, and the nxdi stack compiles for it; set it")
    if pair.plugin == "vllm-neuron" and pair.tool_call_parser is not None and not plain:
        refuse(
            "tool_call_parser",
            "AWS's plugin drops grammars in silence, so tool calls come unconstrained; remove "
            'the key, or set plugin = "specserve"',
        )
    cores = CORES_AT_LNC2.get(pair.instance or "", 0) * (2 // (pair.lnc or 2))
    if cores and pair.tp_degree is not None and pair.tp_degree > cores:
        refuse("tp_degree", f"{pair.instance} has {cores} logical cores; set it to {cores} or less")


def check_models(pair: Pair, target: Path, draft: Path | None) -> None:
    """Whatever the models' own files say, where they are on this machine."""
    folders = [folder for folder in (target, draft) if folder is not None]
    if not all((folder / "config.json").is_file() for folder in folders):
        return
    for folder in folders:
        require_rotary_base(str(folder))
    if any(family_of(str(folder)) == "qwen2" for folder in folders) and pair.lnc == 1:
        raise PairError(
            f"Key 'lnc' in pair {pair.name!r}: NxDI compiles Qwen2 without an LNC of its own, "
            "which is 2 on Trainium2; set it to 2."
        )
    sizes = [vocab_size(folder) for folder in folders]
    if len(set(sizes)) > 1:
        raise PairError(
            f"Key 'draft' in pair {pair.name!r} names {pair.draft}, whose vocabulary of "
            f"{sizes[1]} is not the target's {sizes[0]}, and vLLM refuses that: `neuron align` "
            f"writes a copy of the draft with {sizes[0]} rows."
        )
