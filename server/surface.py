"""Which paths of OpenAI's and of vLLM's API are here, which are not, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from server.openai_request import (
    CHAT_PATH,
    COMPLETION_PATH,
    DETOKENIZE_PATH,
    RESPONSES_PATH,
    TOKENIZE_PATH,
)

OFFERED: Mapping[str, str] = {
    CHAT_PATH: "to an engine",
    COMPLETION_PATH: "to an engine",
    RESPONSES_PATH: "to an engine; nothing is stored, so each request carries its whole input",
    TOKENIZE_PATH: "to an engine; vLLM's own path",
    DETOKENIZE_PATH: "to an engine; vLLM's own path",
    "/v1/models": "answered here, and `/v1/models/{id}`",
    "/health": "`/health/ready` and `/health/live`, answered here",
    "/v1/speculation": "answered here: what the choice of pools has learnt",
    "/metrics": "answered here: the gateway's own",
    "/openapi.json": "answered here: of the paths that are answered here",
}


@dataclass(frozen=True)
class Refusal:
    paths: tuple[str, ...]
    """Each with all that lies under it, unless that is offered."""
    why: str
    """A clause, without a full stop."""

    def covers(self, path: str) -> bool:
        return any(path == one or path.startswith(one + "/") for one in self.paths)


REFUSED = (
    Refusal(
        (
            *("/v1/embeddings", "/v2/embed", "/pooling", "/classify", "/score", "/v1/score"),
            *("/rerank", "/v1/rerank", "/v2/rerank", "/v1/moderations", "/generative_scoring"),
        ),
        "the models here write text; they embed, rank and classify nothing",
    ),
    Refusal(
        ("/v1/audio", "/v1/images", "/v1/videos", "/v1/realtime", "/v1/live"),
        "the models here read and write text only",
    ),
    Refusal(
        (
            *("/v1/responses", "/v1/conversations", "/v1/files", "/v1/uploads", "/v1/batches"),
            *("/v1/vector_stores", "/v1/assistants", "/v1/threads", "/v1/containers"),
            *("/v1/fine_tuning", "/v1/evals"),
        ),
        "nothing is stored here",
    ),
    Refusal(
        ("/v1/messages", "/cohere"),
        "OpenAI's API is spoken here and no other vendor's",
    ),
    Refusal(
        (CHAT_PATH, COMPLETION_PATH, "/inference", "/v1/systemone", "/invocations"),
        "it is one of vLLM's own and would pass by the gateway's limits",
    ),
    Refusal(
        (
            *("/load", "/version", "/ping", "/server_info", "/kv_event_sources", "/tokenizer_info"),
            *("/v1/load_lora_adapter", "/v1/unload_lora_adapter", "/start_profile"),
            *("/stop_profile", "/reset_prefix_cache", "/reset_mm_cache", "/reset_encoder_cache"),
            *("/collective_rpc", "/sleep", "/release_kv_cache_memory", "/wake_up", "/is_sleeping"),
            *("/scale_elastic_ep", "/is_scaling_elastic_ep", "/fault_tolerance", "/pause"),
            *("/resume", "/abort_requests", "/is_paused", "/init_weight_transfer_engine"),
            *("/shutdown_weight_transfer_engine", "/start_weight_update", "/update_weights"),
            *("/start_draft_weight_update", "/finish_weight_update", "/update_weight_version"),
            *("/weight_info", "/weight_checker", "/get_world_size"),
        ),
        "it is for whoever runs the engine: ask the engine itself",
    ),
)


def why_not(path: str) -> str | None:
    """A clause; None for a path that nobody has."""
    return next((refusal.why for refusal in REFUSED if refusal.covers(path)), None)


def table() -> str:
    """The list in docs/gateway.md."""
    lines = ["| path | |", "|---|---|"]
    lines += [f"| `{path}` | {how} |" for path, how in OFFERED.items()]
    for refusal in REFUSED:
        paths = ", ".join(f"`{path}`" for path in refusal.paths if path not in OFFERED)
        under = ", ".join(f"`{path}/…`" for path in refusal.paths if path in OFFERED)
        named = ", ".join(part for part in (under, paths) if part)
        lines.append(f"| {named} | 404: {refusal.why} |")
    return "\n".join(lines) + "\n"
