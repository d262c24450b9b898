"""What an interval allows to be said."""

from typing import Literal

from bench.stats import Estimate

Verdict = Literal["faster", "slower", "not shown"]


def verdict(speedup: Estimate) -> Verdict:
    if speedup.low > 1:
        return "faster"
    return "slower" if speedup.high < 1 else "not shown"
