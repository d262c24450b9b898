"""What became of one request's drafts, in the words of vLLM 0.32, whose answers have it."""

from __future__ import annotations

from collections.abc import Mapping


def speculated(drafted: int, accepted: int) -> dict[str, int]:
    """One step of one request, as it travels from the engine's process to the server's."""
    return {"drafted": drafted, "accepted": accepted}


class Acceptance:
    """Of one request, growing step by step."""

    def __init__(self) -> None:
        self._drafted: list[int] = []
        self._accepted: list[int] = []

    def add(self, step: Mapping[str, int]) -> None:
        """Takes what `speculated` made."""
        self._drafted.append(step["drafted"])
        self._accepted.append(step["accepted"])

    def metrics(self) -> dict[str, object]:
        """An answer's `metrics`: sums and their parts; what follows from them is left out."""
        return {
            "speculative_decoding": {
                "num_spec_steps": len(self._drafted),
                "num_draft_tokens": sum(self._drafted),
                "num_accepted_draft_tokens": sum(self._accepted),
                "per_step_drafted": list(self._drafted),
                "per_step_accepted": list(self._accepted),
            }
        }
