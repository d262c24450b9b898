"""The few fields of each API that the gateway reads itself, and a sentence for a wrong one."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from server.errors import ApiError, Code, invalid

ROLES = ("system", "developer", "user", "assistant", "tool", "function")

T = TypeVar("T")
# Only the first fault is told, and a body of megabytes has room for a million.
Items = Annotated[list[T], Field(fail_fast=True)]


class _Lenient(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore", frozen=True)


class StreamOptions(_Lenient):
    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None
    include_obfuscation: bool | None = None


class _Message(_Lenient):
    role: str


class Envelope(_Lenient):
    unions: ClassVar[dict[str, str]] = {}
    """Fields of several forms, and what to say of a value that is of none."""

    model: str = Field(min_length=1)
    stream: bool | None = None
    stream_options: StreamOptions | None = None

    @property
    def choices(self) -> int:
        """Answers that the engine will give."""
        return 1

    @property
    def max_tokens_asked(self) -> int | None:
        """For each of them; None: the engine's limit."""
        return None


class _Sampled(Envelope):
    n: int | None = Field(default=None, ge=1)
    max_tokens: int | None = Field(default=None, ge=0)
    max_completion_tokens: int | None = Field(default=None, ge=1)

    @property
    def choices(self) -> int:
        return self.n or 1

    @property
    def max_tokens_asked(self) -> int | None:
        said = self.max_completion_tokens
        return self.max_tokens if said is None else said


class Chat(_Sampled):
    messages: Items[_Message] = Field(min_length=1)


class Completion(_Sampled):
    unions = {"prompt": "must be a string, a list of strings, or token ids"}

    prompt: str | Items[str] | Items[int] | Items[Items[int]]

    @property
    def choices(self) -> int:
        many = isinstance(self.prompt, list) and not (
            self.prompt and isinstance(self.prompt[0], int)
        )
        return (self.n or 1) * (max(1, len(self.prompt)) if many else 1)


class _Tool(_Lenient):
    type: str


class _Text(_Lenient):
    verbosity: str | None = None


class Responses(Envelope):
    unions = {"input": "must be a string or a list of items"}

    input: str | list[Any]
    max_output_tokens: int | None = Field(default=None, ge=1)
    tools: Items[_Tool] | None = None
    text: _Text | None = None

    @property
    def max_tokens_asked(self) -> int | None:
        return self.max_output_tokens


class _Ungenerated(Envelope):
    @property
    def max_tokens_asked(self) -> int | None:
        return 0


class Tokenize(_Ungenerated):
    prompt: str | None = None
    messages: Items[_Message] | None = None


class Detokenize(_Ungenerated):
    tokens: Items[int]


E = TypeVar("E", bound=Envelope)


def validated(model: type[E], document: dict[str, Any]) -> E:
    """Raises ApiError."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise _sentence(model, error) from error


def check_roles(messages: list[_Message]) -> None:
    for place, message in enumerate(messages):
        if message.role not in ROLES:
            raise invalid(
                f"messages.{place}.role is {message.role[:80]!r}; roles are {', '.join(ROLES)}.",
                param=f"messages.{place}.role",
            )


def _sentence(model: type[Envelope], error: ValidationError) -> ApiError:
    first = error.errors(include_url=False, include_input=False)[0]
    location = first["loc"]
    # A union's own branches are no path a client wrote.
    union = model.unions.get(str(location[0]))
    name = str(location[0]) if union else ".".join(str(part) for part in location)
    if first["type"] == "missing":
        return invalid(
            f"The field {name!r} is missing.", param=name, code="missing_required_parameter"
        )
    if union:
        return invalid(f"{name} {union}.", param=name, code="invalid_type")
    code: Code = "invalid_type" if first["type"].endswith("_type") else "invalid_value"
    return invalid(f"{name}: {first['msg']}.", param=name, code=code)
