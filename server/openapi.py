"""The OpenAPI document of the paths that the gateway answers itself.

What goes to an engine is OpenAI's and vLLM's to describe.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]


def _object(required: str, **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": required.split()}


def _or_null(kind: str) -> Schema:
    return {"type": [kind, "null"]}


TEXT: Schema = {"type": "string"}
COUNT: Schema = {"type": "integer", "minimum": 0}
REF = "#/components/schemas/"

SCHEMAS: dict[str, Schema] = {
    "Error": _object(
        "error",
        error=_object(
            "message type param code",
            message=TEXT,
            type={"enum": ["invalid_request_error", "server_error"]},
            param=_or_null("string"),
            code=TEXT,
        ),
    ),
    "Model": _object(
        "id object",
        id=TEXT,
        object={"const": "model"},
        created=COUNT,
        owned_by=TEXT,
        max_model_len=COUNT,
    ),
    "Models": _object(
        "object data",
        object={"const": "list"},
        data={"type": "array", "items": {"$ref": REF + "Model"}},
    ),
    "Health": _object(
        "status engine",
        status=TEXT,
        engine=_object(
            "state restarts crash_loop reason",
            state={"enum": ["starting", "ready", "restarting", "failed", "stopped"]},
            restarts=COUNT,
            crash_loop={"type": "boolean"},
            reason=_or_null("string"),
        ),
        error={"type": "object"},
    ),
}
REQUEST_ID = {"x-request-id": {"required": True, "schema": TEXT}}
RETRY = {**REQUEST_ID, "retry-after": {"required": True, "schema": {"type": "string"}}}


def _json(text: str, schema: str, headers: Schema = REQUEST_ID) -> Schema:
    content = {"application/json": {"schema": {"$ref": REF + schema}}}
    return {"description": text, "headers": headers, "content": content}


def _get(text: str, ok: Schema, **errors: Schema) -> Schema:
    responses = {"200": ok, **{code.removeprefix("on_"): one for code, one in errors.items()}}
    return {"get": {"summary": text, "responses": responses}}


NOT_READY = _json("No engine is ready.", "Error", RETRY)
_ONE_MODEL = _get(
    "One model.",
    _json("The model.", "Model"),
    on_404=_json("It is not served here.", "Error"),
    on_503=NOT_READY,
)
_ONE_MODEL["get"]["parameters"] = [{"name": "id", "in": "path", "required": True, "schema": TEXT}]

DOCUMENT: Schema = {
    "openapi": "3.1.0",
    "info": {"title": "specserve", "version": "1"},
    "paths": {
        "/v1/models": _get(
            "The models that are served.", _json("The models.", "Models"), on_503=NOT_READY
        ),
        "/v1/models/{id}": _ONE_MODEL,
        "/health/ready": _get(
            "Whether the next request would be served.",
            _json("It would.", "Health"),
            on_503=_json("It would not.", "Health", RETRY),
        ),
        "/health/live": _get(
            "Whether this process is of use.",
            _json("It is.", "Health"),
            on_503=_json("Only a restart helps.", "Health", RETRY),
        ),
        "/metrics": _get(
            "Prometheus.",
            {
                "description": "The numbers.",
                "headers": REQUEST_ID,
                "content": {"text/plain": {"schema": TEXT}},
            },
        ),
        "/openapi.json": _get("This document.", _json("It.", "Document")),
    },
    "components": {"schemas": {**SCHEMAS, "Document": {"type": "object"}}},
}
