"""The tables of docs/config.md, and one of docs/gateway.md."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from neuron.stacks.capabilities import Feature
from server.config.plans import plan_all
from server.config.sections import ReplicaConfig
from server.config.sources import flag, is_list, is_section, section_of, variable
from server.pools.needs import BESIDE, FIELDS
from server.settings import Settings


def tables() -> str:
    """Of every key: first those that are flags too, then section by section."""
    return "\n".join([_flags(), *_sections()])


def _flags() -> str:
    lines = ["| key | flag | variable | default | what |", "|---|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        if not is_section(Settings, name):
            lines.append(
                f"| `{name}` | `{flag(name)}` | `{variable(name)}` | {_default(field)} "
                f"| {field.description} |"
            )
    return "\n".join(lines) + "\n"


def _sections() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        section = section_of(field.annotation)
        if section is None:
            continue
        listed = is_list(field.annotation)
        title = f"[[{name}]]" if listed else f"[{name}]"
        yield f"### `{title}`\n\n{field.description}\n\n{_table(name, section, listed=listed)}"


def _table(name: str, section: type[BaseModel], *, listed: bool) -> str:
    if listed:
        lines = ["| key | default | what |", "|---|---|---|"]
    else:
        lines = ["| key | variable | default | what |", "|---|---|---|---|"]
    for key, field in section.model_fields.items():
        named = "" if listed else f" `{variable(name, key)}` |"
        lines.append(f"| `{key}` |{named} {_default(field)} | {field.description} |")
    return "\n".join(lines) + "\n"


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "must be given"
    return "–" if field.default is None else f"`{field.default}`"


SPECULATING: Mapping[str, ReplicaConfig] = MappingProxyType(
    {
        name: ReplicaConfig.model_validate(
            {"name": "x", "pool": "speculative", "url": "http://x", **keys}
        )
        for name, keys in {
            "`cpu`": {"stack": "cpu"},
            "`nxdi`, our plugin": {"stack": "nxdi"},
            "the same, built greedy": {"stack": "nxdi", "sampling": "greedy"},
            "`nxdi`, AWS's plugin": {"stack": "nxdi", "plugin": "vllm-neuron"},
            "`legacy`": {"stack": "legacy"},
        }.items()
    }
)


def needs_table() -> str:
    """What asks for each feature, and which speculative engines have it; for docs/gateway.md."""
    fields: dict[Feature, list[str]] = {"sampling": ["temperature"]}
    for field, (feature, _) in FIELDS.items():
        fields.setdefault(feature, []).append(field)
    for beside, (feature, field) in BESIDE.items():
        fields.setdefault(beside, []).append(f"{field}` with {feature}")
    plans = {name: plan_all([config])[0] for name, config in SPECULATING.items()}
    lines = [f"| feature | asked for by | {' | '.join(plans)} |", "|---" * (len(plans) + 2) + "|"]
    for feature, names in fields.items():
        has = [
            "yes" if plan.capabilities and plan.capabilities.can(feature) else "no"
            for plan in plans.values()
        ]
        asked = ", ".join(f"`{name}" if "`" in name else f"`{name}`" for name in names)
        lines.append(f"| {feature} | {asked} | {' | '.join(has)} |")
    return "\n".join(lines) + "\n"
