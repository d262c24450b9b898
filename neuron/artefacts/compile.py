"""`neuron compile`: the engine starts once to compile and once to load; the result is published.

Where each way to compile was read; none of them has been run on a device:

- Our plugin: `NxdiFusedModel.load` compiles where its folder has no `model.pt`
  (neuron/plugin/nxdi.py), and vLLM calls it when the engine starts.
- AWS's plugin: it compiles into NEURON_COMPILED_ARTIFACTS where that cannot be loaded
  (PLUG05 worker/neuronx_distributed_model_loader.py).

vLLM 0.16.0 waits for its core without a limit (v1/engine/utils.py, wait_for_engine_startup), so
the only limit is ours.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from neuron.artefacts import manifest as manifests
from neuron.artefacts.engine_start import Start, start_once
from neuron.artefacts.errors import ArtefactError, MismatchError, NotPublishedError
from neuron.artefacts.key import ArtefactKey, differences
from neuron.artefacts.manifest import Manifest, Times
from neuron.artefacts.verify import verify
from neuron.artefacts.versions import Installed, Versions, installed, versions_of
from neuron.artefacts.wanted import Digests, Place, content_of, key_of, place_of
from neuron.errors import ModelNotFoundError
from neuron.launch import Command, Endpoint, render
from neuron.pair import Pair
from neuron.plugin.nxdi_artefact import COMPILED

LIMIT_S = 17_100
"""Seconds for a start, as AWS's own probe allows: 570 × 30 (EKS samples,
speculative_decoding_trn2_vllm)."""
CONFIG = "neuron_config.json"
NOT_RUN = "No command of this plan has been run on a Neuron device."


@dataclass(frozen=True)
class Plan:
    pair: Pair
    place: Place
    key: ArtefactKey | None
    """None: a model is not on this machine and its digest was not given; `unknown` says so."""
    unknown: str
    versions: Versions
    command: Command
    """Run twice: the first start compiles, the second only loads."""
    endpoint: Endpoint

    @property
    def folder(self) -> Path:
        return self.place.folder


def plan(
    pair: Pair,
    find: Callable[[str], Path],
    endpoint: Endpoint,
    *,
    plain: bool = False,
    neuron_versions: Sequence[str] = (),
    digests: Digests = content_of,
    look: Installed = installed,
) -> Plan:
    """Looks at no device and runs nothing.

    Raises PairError, LaunchError for a stack without artefacts, ModelNotFoundError for a model
    whose place is not known, UnknownVersionError.
    """
    place = place_of(pair, find, plain=plain)
    plain = place.draft is None
    versions = versions_of(pair, plain=plain, given=neuron_versions, look=look)
    command = render(pair, endpoint, plain=plain, find=find, elsewhere=True)
    try:
        key, unknown = key_of(pair, place, versions, digests=digests), ""
    except ModelNotFoundError as error:
        key, unknown = None, str(error)
    return Plan(pair, place, key, unknown, versions, command, endpoint)


def compiled(planned: Plan, *, start: Start = start_once, limit_s: float = LIMIT_S) -> Manifest:
    """Compiles what is not compiled yet, times what is not timed yet, and leaves a manifest.

    Goes on after a start that failed. Raises ModelNotFoundError where the key is not known,
    MismatchError where the folder holds something else, ArtefactError for a start that fails.
    """
    if planned.key is None:
        raise ModelNotFoundError(planned.unknown)
    folder = planned.folder
    manifest = _found(folder, planned.key)
    if manifest is None:
        folder.parent.mkdir(parents=True, exist_ok=True)
        took = start(planned.command, planned.endpoint, limit_s)
        _check_result(folder, planned)
        times = Times(compile_s=round(took, 1), machine=platform.node())
        manifest = manifests.describe(
            folder, "artefacts", planned.pair.name, key=planned.key, times=times
        )
        # Before the second start: if that one fails, hours of compiling are not lost.
        manifests.write(folder, manifest)
    if manifest.times.load_s is None:
        took = start(planned.command, planned.endpoint, limit_s)
        verify(folder, manifest)
        times = manifest.times.model_copy(update={"load_s": round(took, 1)})
        manifest = manifests.retimed(manifest, times)
        manifests.write(folder, manifest)
    return manifest


def _found(folder: Path, wanted: ArtefactKey) -> Manifest | None:
    try:
        manifest = manifests.read(folder)
    except NotPublishedError:
        if (folder / COMPILED).is_file():
            raise MismatchError(
                f"{folder} holds a compiled model without a manifest, so nobody knows with which "
                "versions it was compiled: remove it to compile again."
            ) from None
        return None
    differing = differences(wanted, manifest.key) if manifest.key else ["it holds weights"]
    if differing:
        raise MismatchError(
            f"{folder} was compiled for something else ({'; '.join(differing)}): remove it to "
            "compile again."
        )
    verify(folder, manifest)
    return manifest


def _check_result(folder: Path, planned: Plan) -> None:
    """The engine says that it is healthy; whether it compiled what was asked is looked up."""
    try:
        written = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["neuron_config"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtefactError(
            f"The engine became healthy, but left no readable {CONFIG} in {folder}, so what it "
            "compiled is elsewhere or nothing."
        ) from error
    if not (folder / COMPILED).is_file():
        raise ArtefactError(f"The engine became healthy, but left no {COMPILED} in {folder}.")
    settings = planned.place.settings
    wanted = {
        "tp_degree": settings.tp_degree,
        "batch_size": settings.max_num_seqs,
        "seq_len": settings.max_model_len,
        "max_context_length": settings.max_prompt_len,
        "speculation_length": settings.rows if planned.place.draft else 0,
    }
    wrong = [
        f"{name}: wanted {value}, written {written[name]}"
        for name, value in wanted.items()
        if name in written and written[name] != value
    ]
    if wrong:
        raise MismatchError(
            f"The engine compiled something else into {folder} ({'; '.join(wrong)}): this is a "
            "fault of ours or of the plugin; the folder has no manifest and is not published."
        )
