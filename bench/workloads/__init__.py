"""What is asked of the engines, and how an answer is judged."""

from bench.workloads.bundled import Workload, catalogue, choose

__all__ = ["Workload", "catalogue", "choose"]
