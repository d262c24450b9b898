"""What the user must read, and the exit code that goes with it.

SpecserveError          1  anything else that is the user's to fix
├── PairError           2  a pair file that cannot be read or cannot work
├── ModelNotFoundError  3  weights that are not on this machine
└── LaunchError         4  an engine that cannot start or answers wrongly
"""

from __future__ import annotations


class SpecserveError(Exception):
    """`str()` of it is one sentence for the user."""

    exit_code: int = 1


class PairError(SpecserveError):
    exit_code = 2


class ModelNotFoundError(SpecserveError):
    exit_code = 3


class LaunchError(SpecserveError):
    exit_code = 4
