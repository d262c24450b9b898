"""What an interval allows to be said."""

from typing import Literal

from bench.stats import Estimate

Verdict = Literal["faster", "slower", "not shown", "invalid"]
MARGIN = (0.95, 1.05)


def equivalent(speedup: Estimate) -> bool:
    """The interval lies inside the margin: two one-sided tests at 2.5 % each."""
    return MARGIN[0] <= speedup.low and speedup.high <= MARGIN[1]


def verdict(speedup: Estimate) -> Verdict:
    if speedup.low > 1:
        return "faster"
    return "slower" if speedup.high < 1 else "not shown"


def in_words(found: Verdict, speedup: Estimate) -> str:
    """`not shown, no harm`: no difference is shown, and any is within the margin."""
    return found + (", no harm" if found in ("not shown", "slower") and equivalent(speedup) else "")
