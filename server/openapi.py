"""The OpenAPI document of the paths that the gateway answers itself.

What goes to an engine is OpenAI's and vLLM's to describe.
"""

from __future__ import annotations

from typing import Any

from server.usage import POOLS

Schema = dict[str, Any]


def _object(required: str, **properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": required.split()}


def _or_null(kind: str) -> Schema:
    return {"type": [kind, "null"]}


TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
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
    "Replica": _object(
        "state restarts crash_loop reason ejected retiring",
        state={"enum": ["starting", "ready", "restarting", "failed", "stopped"]},
        restarts=COUNT,
        crash_loop=FLAG,
        reason=_or_null("string"),
        ejected=FLAG,
        retiring=FLAG,
    ),
    "Pool": _object(
        "ready replicas",
        ready=COUNT,
        replicas={"type": "object", "additionalProperties": {"$ref": REF + "Replica"}},
    ),
    "Health": _object(
        "status pools",
        status=TEXT,
        pools={
            "type": "object",
            "properties": {pool: {"$ref": REF + "Pool"} for pool in POOLS},
            "additionalProperties": False,
        },
        error={"type": "object"},
    ),
    "Object": {"type": "object"},
}
REQUEST_ID = {"x-request-id": {"required": True, "schema": TEXT}}
CHALLENGE = {**REQUEST_ID, "www-authenticate": {"required": True, "schema": TEXT}}
RETRY = {**REQUEST_ID, "retry-after": {"required": True, "schema": {"type": "string"}}}


def _json(text: str, schema: str, headers: Schema = REQUEST_ID) -> Schema:
    content = {"application/json": {"schema": {"$ref": REF + schema}}}
    return {"description": text, "headers": headers, "content": content}


def _get(text: str, ok: Schema, **errors: Schema) -> Schema:
    responses = {"200": ok, **{code.removeprefix("on_"): one for code, one in errors.items()}}
    return {"get": {"summary": text, "responses": responses}}


BEARER: list[Schema] = [{"bearer": []}]
NO_KEY = _json("There are keys, and this is none.", "Error", CHALLENGE)
NO_ADMIN = _json("The key is no admin's.", "Error")
NOT_READY = _json("No engine is ready.", "Error", RETRY)
_ONE_MODEL = _get(
    "One model.",
    _json("The model.", "Model"),
    on_401=NO_KEY,
    on_404=_json("It is not served here.", "Error"),
    on_503=NOT_READY,
)
_ONE_MODEL["get"]["parameters"] = [{"name": "id", "in": "path", "required": True, "schema": TEXT}]

DOCUMENT: Schema = {
    "openapi": "3.1.0",
    "info": {"title": "specserve", "version": "1"},
    # A server without keys takes whoever comes.
    "security": [{}, *BEARER],
    "paths": {
        "/v1/models": _get(
            "The models that are served.",
            _json("The models.", "Models"),
            on_401=NO_KEY,
            on_503=NOT_READY,
        ),
        "/v1/models/{id}": _ONE_MODEL,
        "/v1/speculation": _get(
            "What the choice of pools has learnt.",
            _json("It, as the policy has it.", "Object"),
            on_401=NO_KEY,
            on_403=NO_ADMIN,
        ),
        "/health/ready": _get(
            "Whether the next request would be served. Needs no key.",
            _json("It would.", "Health"),
            on_503=_json("It would not.", "Health", RETRY),
        ),
        "/health/live": _get(
            "Whether this process is of use. Needs no key.",
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
            on_401=NO_KEY,
            on_403=NO_ADMIN,
        ),
        "/openapi.json": _get("This document.", _json("It.", "Object"), on_401=NO_KEY),
    },
    "components": {
        "schemas": SCHEMAS,
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
    },
}
