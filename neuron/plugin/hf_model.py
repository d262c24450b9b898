"""A Qwen2 or Qwen3 checkpoint by transformers, over caches of one slot per sequence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

from neuron.errors import ModelNotFoundError
from neuron.plugin.slot_cache import SlotCache, Window

MODEL_TYPES = ("qwen2", "qwen3")


class SlotModel:
    def __init__(self, folder: Path, *, slots: int, max_len: int, dtype: torch.dtype) -> None:
        from transformers import AutoModelForCausalLM

        config = load_config(folder)
        self._model = AutoModelForCausalLM.from_pretrained(
            folder, config=config, dtype=dtype, attn_implementation="sdpa"
        ).eval()
        self.vocab = int(config.vocab_size)
        self._cache = SlotCache(
            layers=config.num_hidden_layers,
            slots=slots,
            heads=config.num_key_value_heads,
            max_len=max_len,
            head_dim=self._model.model.layers[0].self_attn.head_dim,
            dtype=dtype,
        )

    def logits(
        self, tokens: torch.Tensor, window: Window, prior: torch.Tensor, *, last: bool = False
    ) -> torch.Tensor:
        """Feeds tokens [B, q] and returns float32 logits [B, q or 1, vocab].

        `prior` [B, columns] says which earlier columns each sequence sees; of the tokens fed,
        each sees itself and those before it.
        """
        batch, fed = tokens.shape
        own = torch.ones(fed, fed, dtype=torch.bool).tril().expand(batch, 1, fed, fed)
        earlier = prior[:, None, None, :].expand(batch, 1, fed, window.columns)
        self._cache.look_at(window)
        hidden = self._model.model(
            input_ids=tokens,
            attention_mask={"full_attention": torch.cat((earlier, own), dim=-1)},
            position_ids=window.positions,
            past_key_values=self._cache,
            use_cache=True,
        ).last_hidden_state
        if last:
            hidden = hidden[:, -1:]
        return self._model.lm_head(hidden).float()


def load_config(folder: Path) -> Any:  # noqa: ANN401 - transformers has no type for it
    """The checkpoint's configuration. Raises ModelNotFoundError for what is not a plain Qwen.

    transformers 5 writes the rotary base into `rope_parameters`, which 4.57 reads past: it would
    run with its default of 10 000. The older spelling is understood by both.
    """
    from transformers import AutoConfig

    path = folder / "config.json"
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelNotFoundError(f"{path} cannot be read: {error}.") from error
    if raw.get("model_type") not in MODEL_TYPES:
        raise ModelNotFoundError(
            f"{folder} holds a {raw.get('model_type')!r}, but the fused step is for "
            f"{' and '.join(MODEL_TYPES)}."
        )
    if raw.get("use_sliding_window"):
        raise ModelNotFoundError(
            f"{path} sets use_sliding_window, which the fused step's caches do not have."
        )
    config = AutoConfig.from_pretrained(folder)
    rope = dict(raw.get("rope_parameters") or {})
    if rope and "rope_theta" in vars(config):
        config.rope_theta = rope.pop("rope_theta", config.rope_theta)
        config.rope_scaling = rope if rope.get("rope_type", "default") != "default" else None
    return config
