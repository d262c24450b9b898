"""Shapes of the bundled models. Qwen2 architecture: what vLLM and NxDI run for Qwen2.5."""

from collections.abc import Mapping

import torch
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM
from transformers.models.qwen2.modeling_qwen2 import Qwen2Attention

from neuron.local.tokenizer import VOCAB_SIZE

HEAD_SIZE = 64
TARGET_LAYERS = 5
MAX_LENGTH = 1024
# Qwen's own 1e6 is for contexts of 32k; over 1k positions a small base tells neighbours apart.
ROPE_THETA = 1000.0
# Sizes of the circuit that `model` starts with, found by trying.
_SHARPNESS, _LOOKING_BACK, _WRITTEN = 5.0, 3, 0.04
_SLOW, _KEENNESS, _COPIED = 20, 1.5, 0.2
_TWIN_SHARE = 0.9


def _config(
    tokenizer: PreTrainedTokenizerFast, hidden: int, layers: int, kv_heads: int, mlp: int
) -> Qwen2Config:
    return Qwen2Config(
        vocab_size=VOCAB_SIZE,
        hidden_size=hidden,
        intermediate_size=mlp,
        num_hidden_layers=layers,
        num_attention_heads=hidden // HEAD_SIZE,
        num_key_value_heads=kv_heads,
        max_position_embeddings=MAX_LENGTH,
        tie_word_embeddings=True,
        use_sliding_window=False,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        bos_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def target_config(tokenizer: PreTrainedTokenizerFast) -> Qwen2Config:
    return _config(tokenizer, 256, TARGET_LAYERS, 2, 640)


def draft_config(tokenizer: PreTrainedTokenizerFast, layers: int) -> Qwen2Config:
    """A shallower draft is a wider one: both depths have about 0.75 M parameters."""
    return _config(tokenizer, 128, layers, 1, {1: 704, 2: 384}[layers])


def model(config: Qwen2Config, twins: Mapping[int, int]) -> Qwen2ForCausalLM:
    """A new model that copies from its context before its first lesson; seeds come from torch.

    Copying is a circuit of two attention heads (Olsson et al., "In-context Learning and Induction
    Heads", 2022), and a small model spends most of its training on finding it. Here its weights
    start in place and are trained on like the rest:

    - layer 0, heads looking back: the query and key biases alone make the score over a distance d
      the sum of c^2 cos(f (d - back)) over the rotary frequencies f, which peaks at d = back.
      The first of them writes the token before into the last channels, which embeddings leave free.
    - layer 1, head 0: its query is the present token, its keys are what stands in those channels,
      so it looks at what followed the same token earlier, and adds that token to the output. It
      uses the slow rotary frequencies only, which distance hardly turns.

    `twins`: token ids that are the same word with and without a leading space; they start close.
    """
    new = Qwen2ForCausalLM(config)
    free = HEAD_SIZE if config.hidden_size >= 4 * HEAD_SIZE else HEAD_SIZE // 2
    with torch.no_grad():
        for layer in new.model.layers:
            # Nothing else speaks at first, or the circuit could not be heard.
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        _embed(new.model.embed_tokens.weight, config.hidden_size - free, twins)
        _look_back(new.model.layers[0].self_attn, free)
        for layer in new.model.layers[1:2]:
            _match(new.model.layers[0].self_attn, layer.self_attn, free)
    return new


def _embed(weight: torch.Tensor, used: int, twins: Mapping[int, int]) -> None:
    own = weight.clone()
    for one, other in twins.items():
        common = min(one, other)
        weight[one] = _TWIN_SHARE * own[common] + (1 - _TWIN_SHARE**2) ** 0.5 * own[one].roll(1)
    weight[:, used:] = 0.0


def _look_back(attention: Qwen2Attention, free: int) -> None:
    half = HEAD_SIZE // 2
    frequencies = ROPE_THETA ** (-torch.arange(half) / half)
    keys, queries = (p.bias.view(-1, HEAD_SIZE) for p in (attention.k_proj, attention.q_proj))
    keys[:, :half] = _SHARPNESS
    for back, query in enumerate(queries[:_LOOKING_BACK], start=1):
        query[:half] = _SHARPNESS * torch.cos(frequencies * back)
        query[half:] = -_SHARPNESS * torch.sin(frequencies * back)
    hidden = attention.v_proj.in_features
    attention.v_proj.weight[:HEAD_SIZE] = _projection(hidden, free)
    for i in range(free):
        attention.o_proj.weight[hidden - free + i, i] = _WRITTEN


def _match(back: Qwen2Attention, attention: Qwen2Attention, free: int) -> None:
    hidden = attention.v_proj.in_features
    half = HEAD_SIZE // 2
    slow = [*range(_SLOW, half), *range(half + _SLOW, HEAD_SIZE)]
    for channel, dim in enumerate(slow):
        attention.q_proj.weight[dim] = _KEENNESS * back.v_proj.weight[channel]
        attention.k_proj.weight[dim] = 0.0
        attention.k_proj.weight[dim, hidden - free + channel] = _KEENNESS
    copied = _projection(hidden, free)
    attention.v_proj.weight[:HEAD_SIZE] = copied
    attention.o_proj.weight[:, :HEAD_SIZE] = _COPIED * copied.T


def _projection(hidden: int, free: int) -> torch.Tensor:
    """(HEAD_SIZE, hidden): orthonormal rows that read the embedding's channels."""
    rows = torch.zeros(HEAD_SIZE, hidden)
    rows[:, : hidden - free] = torch.linalg.qr(torch.randn(hidden - free, HEAD_SIZE)).Q.T
    return rows
