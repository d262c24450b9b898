"""The words for an answer that is not what was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from server.errors import ApiError

Kind = Literal["json_object", "json_schema", "choice", "regex", "tools"]
"""What was asked for."""

Form = Kind | Literal["grammar", "free"]
"""As it is counted; of a `grammar` only the engine can say whether an answer has it."""

FaultKind = Literal["not_json", "schema", "choice", "regex", "no_call", "wrong_tool", "too_costly"]

Verdict = Literal["valid", "incomplete"]
"""`incomplete`: cut off by a limit or by the client's own stop string before it was whole."""

INVALID: Literal["invalid_structured_output"] = "invalid_structured_output"
MAX_MESSAGE = 400


@dataclass(frozen=True)
class Fault:
    kind: FaultKind
    message: str
    """A clause that names the place, for the client; it may quote the answer."""

    def error(self) -> ApiError:
        text = self.message[:MAX_MESSAGE]
        return ApiError(502, INVALID, f"The answer is not what the request asked for: {text}.")


class TooCostlyError(Exception):
    """A check went over its limits."""
