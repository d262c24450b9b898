"""A launch line as its owner wrote it: flags and their values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

SHORT = {"-tp": "--tensor-parallel-size"}


@dataclass(frozen=True)
class Line:
    """`values`: by flag, with dashes; None for a flag that stands alone. The last one counts."""

    values: Mapping[str, str | None] = field(default_factory=dict)

    @classmethod
    def of(cls, argv: Sequence[str]) -> Line:
        """Whatever is no flag nor a flag's value is passed over: the program, the model."""
        values: dict[str, str | None] = {}
        waiting: str | None = None
        for given in argv:
            word = SHORT.get(given, given)
            if word.startswith("--") and len(word) > 2:
                name, equals, value = word.partition("=")
                # vLLM takes underscores for dashes in a flag's name.
                waiting = name.replace("_", "-")
                values[waiting] = value if equals else None
                waiting = None if equals else waiting
            elif waiting is not None:
                values[waiting] = word
                waiting = None
        return cls(values)

    def __contains__(self, flag: str) -> bool:
        return flag in self.values

    def text(self, flag: str) -> str | None:
        return self.values.get(flag)
