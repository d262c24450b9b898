"""A request's body, bounded, and the news that its client has gone."""

from __future__ import annotations

from starlette.types import Receive, Scope

from server.answer import Answer
from server.errors import ApiError, ClientGone
from server.responses import JSON, header
from server.ticket import Ticket


async def read_json_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """Raises ApiError or ClientGone."""
    _check_type(scope)
    length = header(scope, "content-length")
    if length is not None and length.isdigit() and int(length) > limit:
        raise _too_large(limit)
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        body += message.get("body", b"")
        if len(body) > limit:
            raise _too_large(limit)
        if not message.get("more_body", False):
            return bytes(body)


async def watch_disconnect(receive: Receive, ticket: Ticket, answer: Answer) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    # uvicorn says the same of a client that has everything.
    if not answer.finished:
        ticket.end("client_gone")


def _check_type(scope: Scope) -> None:
    content_type = (header(scope, "content-type") or "").partition(";")[0].strip().lower()
    if content_type != JSON:
        raise ApiError(
            415,
            "unsupported_media_type",
            f"The content type is {content_type[:80]!r}; send Content-Type: {JSON}.",
        )
    encoding = header(scope, "content-encoding")
    if encoding not in (None, "", "identity"):
        raise ApiError(
            415, "unsupported_media_type", "Compressed bodies are not taken; send it as it is."
        )


def _too_large(limit: int) -> ApiError:
    return ApiError(413, "request_too_large", f"The body is larger than {limit} bytes.")
