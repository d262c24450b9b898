"""Which pool serves a request that asks for `auto`, learnt from what requests took.

Pure: no I/O, the clock and the randomness are given. docs/speculation.md says how it decides.
"""

from server.speculation.answered import Answered
from server.speculation.choice import Choice, Reason
from server.speculation.policy import AutoPolicy
from server.speculation.traffic import TrafficClass, classify

__all__ = ["Answered", "AutoPolicy", "Choice", "Reason", "TrafficClass", "classify"]
