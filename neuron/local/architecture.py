"""Shapes of the bundled models. Qwen2 architecture: what vLLM and NxDI run for Qwen2.5."""

from transformers import PreTrainedTokenizerFast, Qwen2Config

from neuron.local.tokenizer import VOCAB_SIZE

HEAD_SIZE = 64
TARGET_LAYERS = 5
MAX_LENGTH = 1024


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
        rope_theta=10_000.0,
        bos_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def target_config(tokenizer: PreTrainedTokenizerFast) -> Qwen2Config:
    return _config(tokenizer, 256, TARGET_LAYERS, 2, 640)


def draft_config(tokenizer: PreTrainedTokenizerFast, layers: int) -> Qwen2Config:
    """A shallower draft is a wider one: both depths have about 0.75 M parameters."""
    return _config(tokenizer, 128, layers, 1, {1: 704, 2: 384}[layers])
