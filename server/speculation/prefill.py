"""What a prompt costs before the first token, so that long prompts are not taken for slow pools."""

from dataclasses import dataclass

QUANTILE = 0.25
"""Of seconds per prompt token: what remains above it is waiting, which a pool answers for."""
STEP = 0.02
"""By which the rate follows, once it has been seen 1 / STEP times."""
LEAST_SHARE = 0.1
"""Of the whole time, which stays however long the prompt was."""


@dataclass(slots=True)
class Prefill:
    """One rate for both pools.

    Taken off both alike it cannot favour either, wrong or right; it only takes away what differs
    between two requests because their prompts did.
    """

    rate: float = 0.0
    """Seconds per prompt token."""
    seen: int = 0

    def learn(self, prompt_tokens: int, first_s: float) -> None:
        if prompt_tokens <= 0 or first_s <= 0:
            return
        now = first_s / prompt_tokens
        self.seen += 1
        step = max(STEP, 1 / (1 + self.seen))
        if self.seen == 1:
            self.rate = now
        elif now < self.rate:
            self.rate *= 1 - step * (1 - QUANTILE)
        else:
            self.rate *= 1 + step * QUANTILE

    def without(self, seconds: float, prompt_tokens: int) -> float:
        return max(seconds - self.rate * prompt_tokens, LEAST_SHARE * seconds)
