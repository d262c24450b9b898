"""The named series of one reply. Events without tokens (a role, held-back text) are no steps."""

from itertools import pairwise

from bench.record import Reply

MS = 1e6


def ttft_ms(reply: Reply) -> float:
    return reply.chunks[0].at_ns / MS


def total_ms(reply: Reply) -> float:
    """From the request's first byte to its last token."""
    return reply.chunks[-1].at_ns / MS


def tpot_ms(reply: Reply) -> float | None:
    """(t_last − t_first) / (tokens − tokens in the first read).

    Where a read held one chunk this is the usual definition, tokens in the first chunk. Where it
    held more, those came before the first stamp and took no time after it.
    `None` if there is no time to divide: a single chunk, or all of them in one read.
    """
    chunks = reply.chunks
    first = chunks[0]
    later = [chunk for chunk in chunks if chunk.read != first.read]
    if not later:
        return None
    return (later[-1].at_ns - first.at_ns) / MS / sum(chunk.tokens for chunk in later)


def step_gaps_ms(reply: Reply) -> list[float]:
    """Time between chunks: a step's duration, whatever number of tokens it emitted."""
    chunks = reply.chunks
    return [(b.at_ns - a.at_ns) / MS for a, b in pairwise(chunks)]


def sizes(reply: Reply) -> list[int]:
    """Tokens in each chunk."""
    return [chunk.tokens for chunk in reply.chunks]


def tokens_per_chunk(reply: Reply) -> list[int]:
    """Of the chunks after the first, which holds what the prefill emitted."""
    return sizes(reply)[1:]


def apportioned_itl_ms(reply: Reply) -> list[float]:
    """Each step gap shared out evenly among the tokens that came at its end."""
    gaps = zip(step_gaps_ms(reply), tokens_per_chunk(reply), strict=True)
    return [gap / tokens for gap, tokens in gaps for _ in range(tokens)]


def tokens_per_s(reply: Reply) -> float:
    return sum(sizes(reply)) / total_ms(reply) * 1e3
