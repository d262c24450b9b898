"""The pair: which target and draft run where. Everything else is derived from it."""

from __future__ import annotations

import difflib
import json
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from neuron.errors import PairError

PAIRS_DIR = Path(__file__).parent / "pairs"

NEURON_KEYS = ("instance", "tp_degree", "lnc", "max_prompt_len", "artefacts")

Positive = Annotated[int, Field(gt=0)]
Name = Annotated[str, Field(min_length=1)]


class Pair(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")

    name: Name
    stack: Literal["cpu", "nxdi", "vllm-neuron", "legacy"]
    target: Name
    draft: Name | None = None
    num_draft_tokens: Annotated[int, Field(gt=0, le=32)] = 5
    """K: drafts proposed per step. A step emits 1 to K+1 tokens."""
    max_model_len: Positive
    max_prompt_len: Positive | None = None
    """None: whatever fits `max_model_len`. The nxdi stack compiles for it and asks for it."""
    max_num_seqs: Positive
    kv_cache_bytes: Positive | None = None
    """None: the engine takes what it finds, which on CPU is nearly all memory."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    prefix_caching: bool = True
    tool_call_parser: Name | None = None
    served_model_name: Name
    sampling: Literal["any", "greedy"] = "any"
    """What the engine is built for: some Neuron graphs choose the likeliest token and no other."""
    # Of the Neuron stacks; `neuron.stacks` says which of them takes what.
    instance: Name | None = None
    tp_degree: Positive | None = None
    lnc: Literal[1, 2] | None = None
    plugin: Literal["specserve", "vllm-neuron"] = "specserve"
    """Whose vLLM plugin runs the nxdi stack: ours, or AWS's; docs/nxdi.md says what that loses."""
    artefacts: Name | None = None
    """Folder of compiled graphs and the compiler's work: tens of GB."""

    @model_validator(mode="after")
    def _steps_fit(self) -> Self:
        if self.draft is not None and self.num_draft_tokens + 1 >= self.max_model_len:
            raise ValueError(
                f"num_draft_tokens = {self.num_draft_tokens} leaves no room in "
                f"max_model_len = {self.max_model_len}; lower the one or raise the other"
            )
        return self

    @model_validator(mode="after")
    def _keys_mean_something(self) -> Self:
        if self.stack == "cpu":
            for key in NEURON_KEYS:
                if getattr(self, key) is not None:
                    raise ValueError(f"{key} means nothing on the stack cpu; remove it")
            if self.sampling != "any":
                raise ValueError("the stack cpu samples as each request asks; remove sampling")
            if self.plugin != "specserve":
                raise ValueError("plugin means nothing on the stack cpu; remove it")
        return self

    def with_models(self, *, target: str | None = None, draft: str | None = None) -> Pair:
        """The same pair with another target or draft, checked again."""
        changes = {"target": target, "draft": draft}
        given = {key: value for key, value in changes.items() if value is not None}
        return _validated({**self.model_dump(), **given}, origin=f"pair {self.name!r}")

    def to_toml(self) -> str:
        # TOML takes every escape that JSON writes, and wants DEL escaped, which JSON leaves.
        fields = self.model_dump(exclude_none=True)
        written = {key: json.dumps(value, ensure_ascii=False) for key, value in fields.items()}
        lines = (f"{key} = {value}\n" for key, value in written.items())
        return "".join(lines).replace("\x7f", "\\u007f")


def shipped_pairs() -> list[str]:
    return sorted(path.stem for path in PAIRS_DIR.glob("*.toml"))


def load_pair(ref: str | Path) -> Pair:
    """`ref` is the name of a shipped pair or the path of a TOML file. Raises PairError."""
    path = _find(ref)
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise PairError(f"{path} is not valid TOML: {error}.") from error
    except OSError as error:
        raise PairError(f"{path} cannot be read: {error.strerror}.") from error
    return _validated(raw, origin=str(path))


def _find(ref: str | Path) -> Path:
    text = str(ref)
    if isinstance(ref, Path) or "/" in text or text.endswith(".toml"):
        return Path(ref)
    if text in shipped_pairs():
        return PAIRS_DIR / f"{text}.toml"
    raise PairError(
        f"There is no shipped pair named {text!r}{_near(text, shipped_pairs())}; "
        f"shipped are {', '.join(shipped_pairs())}; or give the path of a TOML file."
    )


def _near(word: str, known: list[str]) -> str:
    matches = difflib.get_close_matches(word, known, n=3, cutoff=0.5)
    return f" (did you mean {' or '.join(matches)}?)" if matches else ""


def _validated(raw: dict[str, Any], *, origin: str) -> Pair:
    try:
        return Pair.model_validate(raw)
    except ValidationError as error:
        raise PairError(_sentence(error, origin)) from error


def _sentence(error: ValidationError, origin: str) -> str:
    # One fault at a time, unknown keys first: a misspelt key also shows up as a missing one.
    faults = sorted(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
    fault = faults[0]
    key = ".".join(str(part) for part in fault["loc"])
    fields = list(Pair.model_fields)
    if fault["type"] == "extra_forbidden":
        near = _near(key, fields) or f"; known keys are {', '.join(fields)}"
        return f"Unknown key {key!r} in {origin}{near}."
    if fault["type"] == "missing":
        return f"Key {key!r} is missing in {origin}."
    if not key:
        return f"{origin}: {fault['msg'].removeprefix('Value error, ')}."
    return f"Key {key!r} in {origin} has the value {fault['input']!r}: {fault['msg']}."
