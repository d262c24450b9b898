"""Who may come in: one key for each request, as a Bearer token and in no other way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from starlette.types import ASGIApp, Receive, Scope, Send

from server.errors import ApiError
from server.keys import ANONYMOUS, Key, KeyRing
from server.record import record_of
from server.responses import send_error

OPEN_PATHS = frozenset({"/health/live", "/health/ready"})
ADMIN_PATHS = frozenset({"/metrics", "/v1/speculation"})
MAX_HEADERS = 100

KEY = "specserve.key"
CHALLENGE = 'Bearer realm="specserve"'


@dataclass
class Access:
    ring: KeyRing
    """Replaced as a whole when keys are read again."""

    def key_of(self, scope: Scope) -> Key:
        """Raises ApiError: 401, or 403 where the key may not go there."""
        if not self.ring or scope["path"] in OPEN_PATHS:
            return ANONYMOUS
        key = self.ring.find(_token(scope))
        if key is None:
            raise _unauthorized(
                "Incorrect API key provided. Ask whoever runs this server for one.",
                challenge=CHALLENGE + ', error="invalid_token"',
            )
        if scope["path"] in ADMIN_PATHS and not key.admin:
            raise ApiError(
                403,
                "insufficient_permissions",
                "You have insufficient permissions for this operation: it needs an admin key.",
            )
        return key


class AccessMiddleware:
    """Before any route, and before a byte of the body is read."""

    def __init__(self, app: ASGIApp, access: Access, on_refused: Callable[[str], None]) -> None:
        self._app = app
        self._access = access
        self._on_refused = on_refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            try:
                _check_headers(scope)
                scope[KEY] = self._access.key_of(scope)
            except ApiError as error:
                self._on_refused(error.code)
                record_of(scope).code = error.code
                await send_error(send, error)
                return
        await self._app(scope, receive, send)


def key_of(scope: Scope) -> Key:
    return cast(Key, scope[KEY])


def _check_headers(scope: Scope) -> None:
    if len(scope["headers"]) > MAX_HEADERS:
        raise ApiError(431, "headers_too_large", f"There are more than {MAX_HEADERS} headers.")


def _token(scope: Scope) -> str:
    given = [value for name, value in scope["headers"] if name == b"authorization"]
    if not given:
        raise _unauthorized(
            "You didn't provide an API key. You need to provide your API key in an Authorization "
            "header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY)."
        )
    text: str = given[0].decode("latin-1")
    scheme, _, token = text.partition(" ")
    if len(given) > 1 or scheme.lower() != "bearer" or not token.strip():
        raise _unauthorized(
            "The Authorization header must be there once, as: Authorization: Bearer YOUR_KEY."
        )
    return token.strip()


def _unauthorized(message: str, challenge: str = CHALLENGE) -> ApiError:
    return ApiError(401, "invalid_api_key", message, extra={"www-authenticate": challenge})
