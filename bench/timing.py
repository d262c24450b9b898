"""The named series of one reply. Chunks without tokens (held-back text) are no steps."""

from itertools import pairwise

from bench.record import Chunk, Reply

MS = 1e6


def _carrying(reply: Reply) -> list[Chunk]:
    return [chunk for chunk in reply.chunks if chunk.token_ids]


def ttft_ms(reply: Reply) -> float:
    return _carrying(reply)[0].at_ns / MS


def total_ms(reply: Reply) -> float:
    """From the request's first byte to its last token."""
    return _carrying(reply)[-1].at_ns / MS


def tpot_ms(reply: Reply) -> float | None:
    """(t_last − t_first) / (tokens − tokens in the first read).

    Where a read held one chunk this is the usual definition, tokens in the first chunk. Where it
    held more, those came before the first stamp and took no time after it.
    `None` if there is no time to divide: a single chunk, or all of them in one read.
    """
    chunks = _carrying(reply)
    first = chunks[0]
    later = [chunk for chunk in chunks if chunk.read != first.read]
    if not later:
        return None
    return (later[-1].at_ns - first.at_ns) / MS / sum(len(chunk.token_ids) for chunk in later)


def step_gaps_ms(reply: Reply) -> list[float]:
    """Time between chunks: a step's duration, whatever number of tokens it emitted."""
    chunks = _carrying(reply)
    return [(b.at_ns - a.at_ns) / MS for a, b in pairwise(chunks)]


def sizes(reply: Reply) -> list[int]:
    """Tokens in each chunk."""
    return [len(chunk.token_ids) for chunk in _carrying(reply)]


def tokens_per_chunk(reply: Reply) -> list[int]:
    """Of the chunks after the first, which holds what the prefill emitted."""
    return sizes(reply)[1:]
