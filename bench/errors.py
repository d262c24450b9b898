"""What can go wrong in a bench run, one class per exit code."""

from neuron.errors import SpecserveError

EXIT_CODES = {
    0: "measured, or the report was printed",
    1: "internal error",
    2: "bad option, pair or result file",
    3: "weights are not there",
    4: "an engine or the gateway did not start, or died",
    5: "measured but unusable: output not identical, or a series is missing",
    6: "--require-faster: the structured workloads are not shown to be faster",
    7: "measured but invalid: the bench itself was the limit",
    8: "--aa: the plain engine is called different from itself",
    9: "--require-no-harm: a control is not shown to be unharmed",
    10: "compare --require-not-slower: the second result is shown to be slower",
    11: "publish: the store or CloudWatch cannot be reached, or refuses",
    130: "interrupted",
}


class BenchError(SpecserveError):
    exit_code = 1


class UsageProblemError(BenchError):
    exit_code = 2


class EngineFailedError(BenchError):
    exit_code = 4


class UnusableError(BenchError):
    exit_code = 5


class NotFasterError(BenchError):
    exit_code = 6


class ClientLimitError(BenchError):
    exit_code = 7


class SelfDifferenceError(BenchError):
    exit_code = 8


class HarmError(BenchError):
    exit_code = 9


class SlowerError(BenchError):
    exit_code = 10


class PublishError(BenchError):
    exit_code = 11
