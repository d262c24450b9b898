"""From a pair to the artefact that it wants: its key, and the folder that it is loaded from."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuron.artefacts.content import (
    FileEntry,
    default_cache,
    hash_kept,
    model_digest,
    model_files,
)
from neuron.artefacts.errors import ArtefactError
from neuron.artefacts.key import ArtefactKey
from neuron.artefacts.verified import Verified
from neuron.artefacts.versions import Versions
from neuron.errors import LaunchError, ModelNotFoundError
from neuron.pair import Pair
from neuron.plugin.nxdi_config import SAMPLING, neuron_keys
from neuron.plugin.nxdi_repairs import OPTIONAL, WITH_LOGITS
from neuron.plugin.nxdi_settings import NxdiSettings

Digests = Callable[[Path], str]
"""From a model's folder to the digest of its content. Raises ModelNotFoundError."""

PLATFORMS = {"trn1": "trn1", "trn1n": "trn1", "trn2": "trn2", "trn2u": "trn2", "inf2": "inf2"}
"""Instance family by kind of core: an artefact for one is none for another."""

NAMED = frozenset(
    {
        "tp_degree",
        "logical_nc_config",
        "torch_dtype",
        "batch_size",
        "seq_len",
        "max_context_length",
        "context_encoding_buckets",
        "token_generation_buckets",
        "speculation_length",
        "output_logits",
    }
)
"""Options of NxDI that the key has a field of its own for."""


@dataclass(frozen=True)
class Place:
    """Of one pair, with or without its draft."""

    settings: NxdiSettings
    draft: Path | None

    @property
    def folder(self) -> Path:
        return Path(self.settings.artefacts)


def place_of(pair: Pair, find: Callable[[str], Path], *, plain: bool = False) -> Place:
    """Raises PairError, ModelNotFoundError, and LaunchError for a stack without artefacts."""
    from neuron.stacks import nxdi

    if pair.stack == "cpu":
        raise LaunchError(
            f"Pair {pair.name!r} runs on the CPU, which compiles nothing beforehand: artefacts "
            'are for a pair with stack = "nxdi".'
        )
    if pair.stack != "nxdi":
        raise LaunchError(
            f"Pair {pair.name!r} is for the stack {pair.stack!r}, whose artefacts are not known "
            "yet: only nxdi's are."
        )
    draft = None if plain or pair.draft is None else find(pair.draft)
    return Place(nxdi.settings_of(pair, find(pair.target), draft), draft)


def key_of(
    pair: Pair,
    place: Place,
    versions: Versions,
    *,
    digests: Digests,
    outer: Mapping[str, str] = os.environ,
) -> ArtefactKey:
    """Raises ModelNotFoundError where `digests` cannot say what a model holds."""
    settings, draft = place.settings, place.draft
    speculation: dict[str, Any] = {}
    if draft is not None:
        speculation = {
            "draft": digests(draft),
            "draft_path": str(draft),
            "num_draft_tokens": settings.num_draft_tokens,
        }
    return ArtefactKey(
        stack="nxdi",
        plugin="vllm-neuron" if draft is None else pair.plugin,
        platform=_platform(pair),
        target=digests(Path(settings.target)),
        target_path=settings.target,
        **speculation,
        tp_degree=settings.tp_degree,
        lnc=settings.lnc,
        max_num_seqs=settings.max_num_seqs,
        max_model_len=settings.max_model_len,
        max_prompt_len=settings.max_prompt_len,
        context_buckets=tuple(settings.context_buckets),
        step_buckets=tuple(settings.step_buckets),
        sampling="any" if settings.logits and draft is not None else "greedy",
        dtype=settings.dtype,
        flags=_flags(pair, settings, outer, ours=draft is not None and pair.plugin == "specserve"),
        versions=versions.packages,
    )


def content_of(folder: Path) -> str:
    """The digest of a model that is on this machine. Raises ModelNotFoundError.

    A file that `neuron weights` verified and nobody has touched since is not read again; any other
    is read once and remembered.
    """
    paths = model_files(folder) if folder.is_dir() else []
    if not paths:
        raise ModelNotFoundError(
            f"There is no model in {folder} on this machine, so what it holds is not known: give "
            "--target-digest and --draft-digest, which `neuron weights list` shows, or run this "
            "where the weights are."
        )
    known, cache = Verified.beside(folder), default_cache()
    try:
        return model_digest(
            FileEntry(
                path=path.name,
                size=path.stat().st_size,
                sha256=known.sha256_of(path) or hash_kept(path, cache),
            )
            for path in paths
        )
    except OSError as error:
        raise ArtefactError(f"{error.filename} cannot be read: {error.strerror}.") from error


def _platform(pair: Pair) -> str:
    family = (pair.instance or "trn2").partition(".")[0]
    return PLATFORMS.get(family, family)


def _flags(
    pair: Pair, settings: NxdiSettings, outer: Mapping[str, str], *, ours: bool
) -> dict[str, Any]:
    """What the compiler is told besides the key's own fields, by our plugin or by AWS's."""
    told = neuron_keys(settings) | SAMPLING if ours else _told_by_aws(settings)
    flags = {name: value for name, value in told.items() if name not in NAMED}
    if ours:
        optional = OPTIONAL if settings.max_num_seqs > 1 else ()
        required = WITH_LOGITS if settings.logits else ()
        flags["repairs"] = [edit.name for edit in (*optional, *required)]
    # Read by the compiler itself, whoever starts it.
    if outer.get("NEURON_CC_FLAGS"):
        flags["NEURON_CC_FLAGS"] = outer["NEURON_CC_FLAGS"]
    return flags


def _told_by_aws(settings: NxdiSettings) -> dict[str, Any]:
    from neuron.stacks import nxdi_aws

    told = nxdi_aws.overrides(settings)
    sampling: dict[str, Any] = told.pop("on_device_sampling_config")
    return told | sampling
