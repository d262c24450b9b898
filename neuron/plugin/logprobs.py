"""A batch's log-probabilities in the flat arrays that vLLM's scheduler slices per request."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from vllm.v1.outputs import LogprobsLists

from neuron.plugin.runner import Decided


def flattened(decided: Sequence[Decided]) -> LogprobsLists | None:
    """None if no request asked. Rows of requests that asked for fewer are filled up: vLLM reads
    only as many columns as the request asked for."""
    reported = [one for request in decided for one in request.logprobs]
    if not reported:
        return None
    width = max(len(one.tokens) for one in reported)
    tokens = np.zeros((len(reported), width), dtype=np.int32)
    values = np.full((len(reported), width), -np.inf, dtype=np.float32)
    for row, one in enumerate(reported):
        tokens[row, : len(one.tokens)] = one.tokens
        values[row, : len(one.values)] = one.values
    counts = [len(request.logprobs) for request in decided]
    return LogprobsLists(
        logprob_token_ids=tokens,
        logprobs=values,
        sampled_token_ranks=np.array([one.rank for one in reported], dtype=np.int32),
        cu_num_generated_tokens=[0, *np.cumsum(counts).tolist()],
    )
