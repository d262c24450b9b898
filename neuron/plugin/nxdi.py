"""The fused model on Trainium2, by NxDI. It has not run on a device.

What it assumes of NxDI is in neuron.plugin.nxdi_api, what it repairs in neuron.plugin.nxdi_repairs,
and how far either could be checked without a device in docs/nxdi.md.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from neuron.errors import PairError
from neuron.models import vocab_size
from neuron.plugin.fused import (
    ContractError,
    Feed,
    Limits,
    Prefilled,
    Stepped,
    check_feeds,
    check_prompt,
)
from neuron.plugin.nxdi_api import Application, Nxdi, installed
from neuron.plugin.nxdi_artefact import check_note, is_compiled, note_of, write_note
from neuron.plugin.nxdi_batch import Call, prefill_call, step_call
from neuron.plugin.nxdi_config import build
from neuron.plugin.nxdi_repairs import repair
from neuron.plugin.nxdi_settings import NxdiSettings
from neuron.plugin.nxdi_unpack import RawOutputs, first_token, stepped, unpack

log = logging.getLogger(__name__)


class NxdiFusedModel:
    """`nxdi` is the seam: how NxDI is imported. The default needs the Neuron image."""

    def __init__(self, settings: NxdiSettings, nxdi: Callable[[], Nxdi] = installed) -> None:
        self._settings = settings
        self._import = nxdi
        self._application: Application | None = None
        self._behind: dict[int, int] = {}
        """Live slots, each with a position behind everything valid in its caches."""

    def load(self) -> Limits:
        """Compiles into `artefacts` where that is empty: minutes to hours, once.

        Raises PairError for models that do not fit, LaunchError where NxDI is not there or the
        artefact is another's, RepairError where NxDI is not the one that we know.
        """
        settings = self._settings
        vocab = self._common_vocab()
        nxdi = self._import()
        repaired = repair(
            nxdi.fused_model,
            logits=settings.logits,
            batch=settings.max_num_seqs,
            known=nxdi.known_sources,
        )
        application_class, config = build(settings, nxdi)
        application = application_class(settings.target, config)
        note = note_of(settings, repaired, nxdi.version)
        if is_compiled(settings):
            check_note(settings, note)
        else:
            log.info("Compiling into %s, repaired: %s.", settings.artefacts, repaired.applied)
            Path(settings.artefacts).mkdir(parents=True, exist_ok=True)
            application.compile(settings.artefacts)
            write_note(settings, note)
        application.load(settings.artefacts)
        self._application = application
        self.limits = Limits(
            rows=settings.rows,
            slots=settings.max_num_seqs,
            max_prompt=settings.max_prompt_len,
            max_len=settings.max_model_len,
            vocab=vocab,
            logits=settings.logits,
        )
        return self.limits

    def prefill(self, slot: int, tokens: Sequence[int], *, logits: bool = False) -> Prefilled:
        check_prompt(self.limits, slot, tokens)
        raw = self._run(prefill_call(slot, tokens, self._settings))
        self._behind[slot] = len(tokens)
        token = first_token(raw, len(tokens), self.limits)
        if not logits or raw.logits is None:
            return Prefilled(token)
        return Prefilled(token, raw.logits[0, -1, : self.limits.vocab].float())

    def step(self, feeds: Sequence[Feed], rows: int) -> list[Stepped]:
        check_feeds(self.limits, feeds, rows)
        fed = {feed.slot for feed in feeds}
        idle = {slot: behind for slot, behind in self._behind.items() if slot not in fed}
        call = step_call(feeds, idle, self.limits)
        raw = self._run(call)
        # However few of the rows the caller keeps, its next position is at most this.
        self._behind.update({feed.slot: feed.position + rows for feed in feeds})
        return stepped(raw, call, feeds, self.limits)

    def release(self, slot: int) -> None:
        self._behind.pop(slot, None)

    def close(self) -> None:
        # NxDI has no unload: the cores are given back when the process ends.
        self._application = None

    def _run(self, call: Call) -> RawOutputs:
        if self._application is None:
            raise ContractError("The model is not loaded: load() comes first and close() last.")
        arguments: dict[str, Any] = {
            field.name: getattr(call, field.name) for field in fields(call)
        }
        return unpack(self._application(**arguments).fused_outputs, self.limits)

    def _common_vocab(self) -> int:
        target, draft = (
            vocab_size(Path(folder)) for folder in (self._settings.target, self._settings.draft)
        )
        if target != draft:
            raise PairError(
                f"The draft's vocabulary of {draft} is not the target's {target}: a token that "
                "the draft has no row for would read past its embedding; pad the draft's to "
                f"{target} rows."
            )
        return target
