"""vLLM's own metrics that are worth a look beside the gateway's, in the versions we run.

vLLM renames its metrics; tests/golden/ has all of each version, and tests hold them to it.
"""

from __future__ import annotations

from collections.abc import Mapping

ENGINE_METRICS: Mapping[str, str] = {
    "vllm:num_requests_running": "Requests in the batch.",
    "vllm:num_requests_waiting": "Requests that the engine has taken and not begun.",
    "vllm:kv_cache_usage_perc": "Share of the cache in use, 0 to 1.",
    "vllm:num_preemptions_total": "Requests thrown out of the batch for want of cache.",
    "vllm:prompt_tokens_total": "Prompt tokens.",
    "vllm:generation_tokens_total": "Tokens generated.",
    "vllm:prefix_cache_queries_total": "Prompt tokens looked up in the prefix cache.",
    "vllm:prefix_cache_hits_total": "Prompt tokens found there.",
    "vllm:request_success_total": "Requests by finished_reason.",
    "vllm:time_to_first_token_seconds": "From arrival at the engine to the first token.",
    "vllm:request_queue_time_seconds": "In the engine's own queue.",
    "vllm:e2e_request_latency_seconds": "From arrival at the engine to the last token.",
    "vllm:request_time_per_output_token_seconds": "Time per output token, once per request.",
    "vllm:inter_token_latency_seconds": "Between two steps of a request: not per token.",
    "vllm:spec_decode_num_drafts_total": "Steps that verified drafts.",
    "vllm:spec_decode_num_draft_tokens_total": "Tokens drafted.",
    "vllm:spec_decode_num_accepted_tokens_total": "Drafted tokens the target kept.",
    "vllm:spec_decode_num_accepted_tokens_per_pos_total": "The same by position in the draft.",
}


def table() -> str:
    """The list in docs/metrics.md."""
    lines = ["| metric of vLLM | what |", "|---|---|"]
    lines += [f"| `{name}` | {what} |" for name, what in ENGINE_METRICS.items()]
    return "\n".join(lines) + "\n"
