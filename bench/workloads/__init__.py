"""What is asked of the engines, and how an answer is judged."""

from bench.workloads.catalogue import DEFAULT_MAX_TOKENS, Profile, catalogue, choose
from bench.workloads.files import FileSource, digest, from_file
from bench.workloads.workload import Workload

__all__ = [
    "DEFAULT_MAX_TOKENS",
    "FileSource",
    "Profile",
    "Workload",
    "catalogue",
    "choose",
    "digest",
    "from_file",
]
