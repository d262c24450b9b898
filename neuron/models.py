"""From the name of a model to the folder that holds it."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

from neuron.errors import ModelNotFoundError

QWEN25_SIZES = ("0.5b", "1.5b", "3b", "7b", "14b", "32b", "72b")
QWEN3_SIZES = ("0.6b", "1.7b", "4b", "8b", "14b", "32b")

KNOWN_MODELS: Mapping[str, str] = MappingProxyType(
    {f"qwen2.5-{size}": f"Qwen/Qwen2.5-{size.upper()}-Instruct" for size in QWEN25_SIZES}
    | {f"qwen3-{size}": f"Qwen/Qwen3-{size.upper()}" for size in QWEN3_SIZES}
)
HUB_IDS: Mapping[str, str] = MappingProxyType(
    {Path(hub_id).name: hub_id for hub_id in KNOWN_MODELS.values()}
)
BUNDLED_PREFIX = "bundled:"
WEIGHT_PATTERNS = ("*.safetensors", "*.bin")
WHAT_WORKS = (
    "What works now is the bundled pair, without --target and --draft: `bench --pair local`, "
    "`server --pair local` or `neuron launch local`"
)


def store_name(folder: Path) -> str:
    """Of a model's weights in a store: a known model's hub id, as a pull from the hub names it, or
    the folder's own name.
    """
    return HUB_IDS.get(folder.name, folder.name)


def hub_cache() -> Path:
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def build_bundled(part: str) -> Path:
    from neuron.local.build import ensure_built

    built = ensure_built()
    return built.target if part == "target" else built.draft


def locate(
    ref: str,
    *,
    cache: Callable[[], Path] = hub_cache,
    bundled: Callable[[str], Path] = build_bundled,
) -> Path:
    """The folder of a model, from a known name, a folder, a hub id or `bundled:…`.

    Looks only at this machine. Raises ModelNotFoundError.
    """
    if ref.startswith(BUNDLED_PREFIX):
        return _bundled(ref, bundled)
    hub_id = KNOWN_MODELS.get(ref.lower())
    if hub_id is not None:
        return _cached(ref, hub_id, cache())
    folder = Path(ref).expanduser()
    if folder.exists() or ref.startswith((".", "/", "~")):
        return _local(ref, folder)
    if ref.count("/") == 1:
        return _cached(ref, ref, cache())
    raise ModelNotFoundError(_unknown(ref))


def vocab_size(folder: Path) -> int:
    """What `config.json` says, padding included. Raises ModelNotFoundError."""
    path = folder / "config.json"
    try:
        return int(json.loads(path.read_text(encoding="utf-8"))["vocab_size"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelNotFoundError(
            f"{path} gives no vocab_size, so the folder holds no model that can be used."
        ) from error


def _bundled(ref: str, bundled: Callable[[str], Path]) -> Path:
    part = ref.removeprefix(BUNDLED_PREFIX)
    if part not in ("target", "draft"):
        raise ModelNotFoundError(
            f"{ref!r} is not bundled: write 'bundled:target' or 'bundled:draft'."
        )
    return bundled(part)


def _has_weights(folder: Path) -> bool:
    return any(hit for pattern in WEIGHT_PATTERNS for hit in folder.glob(pattern))


def _local(ref: str, folder: Path) -> Path:
    if not (folder / "config.json").is_file():
        raise ModelNotFoundError(
            f"Looked for a model in {folder}, but there is no config.json in it. {WHAT_WORKS}."
        )
    if not _has_weights(folder):
        raise ModelNotFoundError(
            f"Looked for the weights of {ref} in {folder}, but there is no .safetensors or .bin "
            f"file in it. {WHAT_WORKS}."
        )
    return folder.resolve()


def _cached(ref: str, hub_id: str, cache: Path) -> Path:
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(hub_id, "config.json", cache_dir=cache)
    except HFValidationError as error:
        raise ModelNotFoundError(_unknown(ref)) from error
    if isinstance(config, str) and _has_weights(Path(config).parent):
        return Path(config).parent
    raise ModelNotFoundError(
        f"Looked for the weights of {ref} ({hub_id}) in {cache}, but they are not there. "
        f"{WHAT_WORKS}; with a network, `hf download {hub_id}` fetches them."
    )


def did_you_mean(ref: str) -> str:
    """The known names nearest to `ref`, in brackets after a space; empty: none is near."""
    near = difflib.get_close_matches(ref.lower(), KNOWN_MODELS, n=3, cutoff=0.5)
    return f" (did you mean {' or '.join(near)}?)" if near else ""


def _unknown(ref: str) -> str:
    return (
        f"{ref!r} is no known name{did_you_mean(ref)}, no folder and no hub id of the form "
        f"owner/name. {WHAT_WORKS}; `neuron models` lists the names."
    )
