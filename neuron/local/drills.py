"""Recall drills: keyed spans of random tokens, to be said again in another order.

Looking a value up and copying it is what most of the corpus asks for and what a small model learns
last: in real answers few tokens depend on it. A drill is nothing else, so the attention heads that
do it (Olsson et al., "In-context Learning and Induction Heads", 2022) form within minutes.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

from transformers import PreTrainedTokenizerFast

from neuron.local.batches import IGNORED, Batch, pack

_SPACE = "\u0120"
_ROWS = (32, 48, 64, 96, 144)
_LENGTHS = (1, 8)
_DIGITS_SHARE, _TWINS_SHARE = 0.35, 0.5


@dataclass(frozen=True)
class Alphabet:
    """`digits` and `words`: token ids. `twins`: a word's id with a leading space or without."""

    digits: list[int]
    words: list[int]
    twins: dict[int, int]


def alphabet(tokenizer: PreTrainedTokenizerFast) -> Alphabet:
    vocabulary = tokenizer.get_vocab()
    digits = [vocabulary[str(i)] for i in range(10)]
    plain = {token: i for token, i in vocabulary.items() if token.isalpha() and token.isascii()}
    twins: dict[int, int] = {}
    for token, i in plain.items():
        other = vocabulary.get(_SPACE + token)
        if other is not None:
            twins |= {i: other, other: i}
    return Alphabet(digits, sorted(twins), twins)


def drill(symbols: Alphabet, rng: random.Random, length: int) -> tuple[list[int], list[int]]:
    """Tokens and labels of one row: each span stands after a key of its own, in both halves."""
    pairs: list[tuple[int, list[int]]] = []
    room = length // 2
    for key in rng.sample(symbols.words, length):
        span = _span(symbols, rng, room - 1)
        pairs.append((key, span))
        room -= 1 + len(span)
        if room < 2:
            break
    tokens = [token for key, span in pairs for token in (key, *span)]
    labels = [IGNORED] * len(tokens)
    if rng.random() < 0.5:
        rng.shuffle(pairs)
    other = rng.random() < _TWINS_SHARE
    for key, span in pairs:
        said = [symbols.twins.get(t, t) if other else t for t in span]
        tokens += [key, *said]
        labels += [*said, IGNORED]
    return tokens, labels


def _span(symbols: Alphabet, rng: random.Random, longest: int) -> list[int]:
    length = min(longest, rng.randint(*_LENGTHS))
    if rng.random() < _DIGITS_SHARE:
        return rng.choices(symbols.digits, k=length)
    return rng.choices(symbols.words, k=length)


def drills(tokenizer: PreTrainedTokenizerFast, seed: int, size: int) -> Iterator[Batch]:
    """Endless batches of about `size` tokens."""
    symbols, rng = alphabet(tokenizer), random.Random(f"drills:{seed}")
    while True:
        length = rng.choice(_ROWS)
        rows = [drill(symbols, rng, length) for _ in range(size // length)]
        yield pack(rows, tokenizer.pad_token_id)
