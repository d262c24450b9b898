"""x-request-id: the client's own if it is sane, else ours, on every answer."""

from __future__ import annotations

import re
from uuid import uuid4

from starlette.types import Scope

# What survives a log line and a header unquoted.
SANE = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def choose(offered: str | None) -> str:
    if offered is not None and SANE.fullmatch(offered):
        return offered
    return f"req-{uuid4().hex}"


def request_id_of(scope: Scope) -> str:
    return str(scope.get("specserve.request_id", "-"))
