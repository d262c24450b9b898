"""The pair's own byte-level BPE and chat template, trained on the corpus."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)
from transformers import PreTrainedTokenizerFast

from neuron.local.corpus import TASKS, Example, stream

VOCAB_SIZE = 3072
END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CALL_START, CALL_END = "<tool_call>", "</tool_call>"
_CORPUS_EXAMPLES = 20_000
# Qwen2's own split (transformers, models/qwen2/tokenization_qwen2.py). Any other would be ignored:
# for a model of type qwen2, transformers 5 builds its tokenizer with this one, whatever
# tokenizer.json says, and the engine would see other tokens than the training did.
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def chat_template() -> str:
    return (Path(__file__).parent / "chat_template.jinja").read_text()


def _texts(examples: Iterator[Example], count: int) -> Iterator[str]:
    template = _wrap(Tokenizer(models.BPE()))
    for example in islice(examples, count):
        yield str(
            template.apply_chat_template(
                [*example.messages, {"role": "assistant", "content": example.answer}],
                tools=list(example.tools) or None,
                tokenize=False,
            )
        )


def _wrap(backend: Tokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        eos_token=TURN_END,
        pad_token=END_OF_TEXT,
        chat_template=chat_template(),
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
    )


def build(seed: int) -> PreTrainedTokenizerFast:
    """Trains the BPE on the head of the training stream of `seed`; deterministic."""
    backend = Tokenizer(models.BPE())
    backend.normalizer = normalizers.NFC()
    backend.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE - 2,
        special_tokens=[END_OF_TEXT, TURN_START, TURN_END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    examples = stream(dict.fromkeys(TASKS, 1.0), seed)
    backend.train_from_iterator(_texts(examples, _CORPUS_EXAMPLES), trainer)
    # As in Qwen2.5: tokens of their own, but part of the text that a client sees.
    backend.add_tokens(
        [AddedToken(t, normalized=False, special=False) for t in (CALL_START, CALL_END)]
    )
    return _wrap(backend)
