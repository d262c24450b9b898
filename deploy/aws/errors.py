"""What the operator must read, one class per exit code.

SpecserveError
├── DeployError     1  anything else that is the operator's to fix
├── SettingsError   2  settings that do not fit together, or not what was launched
├── AbsentError     3  no offering, block, launch template or host of that name
├── NotDoneError    4  not ready, not drained or not gone in time; the same command goes on
├── UnknownError    5  a purchase of which nobody can say yet whether it was made
└── AwsError        6  AWS cannot be reached, or refuses
    └── RefusedError   it refused: nothing was done
"""

from __future__ import annotations

from neuron.errors import SpecserveError


class DeployError(SpecserveError):
    exit_code = 1


class SettingsError(SpecserveError):
    exit_code = 2


class AbsentError(SpecserveError):
    exit_code = 3


class NotDoneError(SpecserveError):
    exit_code = 4


class UnknownError(SpecserveError):
    exit_code = 5


class AwsError(SpecserveError):
    exit_code = 6


class RefusedError(AwsError):
    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code
        """AWS's own, as InsufficientInstanceCapacity."""
