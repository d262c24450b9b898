"""What an answer must look like because its request asked for a form, and whether it does."""

from server.structured.contract import Contract, Said
from server.structured.fault import Fault, FaultKind, Form, Kind, Verdict

__all__ = ["Contract", "Fault", "FaultKind", "Form", "Kind", "Said", "Verdict"]
