"""The programs beside ours: how each is told the same work, and what it printed of it."""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.crosscheck.definitions import (
    ACCEPTANCE,
    GUIDELLM_SERIES,
    THROUGHPUT,
    TOKENS,
    VLLM_SERIES,
    Defined,
    OfBlock,
    Pool,
    interpolated,
    observed,
)
from bench.errors import UnusableError

WARM = 2
"""Requests before each block that nobody counts."""
SHOWN = ("mean", "median", "p99")
GUIDELLM = Path(".venv-crosscheck/bin/guidellm")
OFFLINE = {"HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
# `vllm bench` does not start in this environment; this is all that it would do.
_SERVE = (
    "from vllm.benchmarks.serve import add_cli_args, main\n"
    "from vllm.utils.argparse_utils import FlexibleArgumentParser\n"
    "parser = FlexibleArgumentParser()\n"
    "add_cli_args(parser)\n"
    "main(parser.parse_args())\n"
)


@dataclass(frozen=True)
class Job:
    """One block: the same for every program."""

    url: str
    model: str
    tokenizer: str
    """The folder of the target's own."""
    prompts: tuple[str, ...]
    max_tokens: int
    folder: Path
    """The block's own."""

    @property
    def out(self) -> Path:
        return self.folder / "out.json"

    @property
    def data(self) -> Path:
        return self.folder / "prompts.json"


Printed = Mapping[str, float]
"""By name, like `TTFT mean`; times in ms."""


@dataclass(frozen=True)
class Program:
    name: str
    command: Callable[[Job], Sequence[str]]
    """Writes what the program reads into the job's folder."""
    read: Callable[[dict[str, Any], int], Printed]
    """From its JSON and the number of requests that must be in it."""
    series: tuple[Defined, ...]
    pool: Pool
    of_block: tuple[OfBlock, ...]
    env: Mapping[str, str] = field(default_factory=lambda: OFFLINE)

    def printed(self, job: Job) -> Printed:
        """Raises UnusableError for what is not this program's output, or has requests missing."""
        try:
            return self.read(json.loads(job.out.read_text()), len(job.prompts))
        except (OSError, ValueError, LookupError, TypeError) as error:
            raise UnusableError(f"What {self.name} wrote cannot be read: {error!r}.") from error


def _serve(job: Job) -> Sequence[str]:
    # ShareGPT's form: the module reads JSON lines with pandas, which the engine does without.
    told = [
        {"conversations": [{"from": "human", "value": one}, {"from": "gpt", "value": "-"}]}
        for one in job.prompts
    ]
    job.data.write_text(json.dumps(told))
    return (
        sys.executable, "-c", _SERVE, "--backend", "openai", "--endpoint", "/v1/completions",
        "--base-url", job.url, "--model", job.model, "--tokenizer", job.tokenizer,
        "--dataset-name", "sharegpt", "--dataset-path", str(job.data), "--disable-shuffle",
        "--no-oversample", "--sharegpt-output-len", str(job.max_tokens),
        "--num-prompts", str(len(job.prompts)), "--max-concurrency", "1", "--temperature", "0",
        "--num-warmups", str(WARM), "--ready-check-timeout-sec", "0", "--disable-tqdm",
        "--percentile-metrics", "ttft,tpot,itl,e2el", "--metric-percentiles", "99",
        "--save-result", "--result-dir", str(job.folder), "--result-filename", job.out.name,
    )  # fmt: skip


def _read_serve(told: dict[str, Any], requests: int) -> Printed:
    _whole("vllm bench serve", told["completed"], requests)
    found = {
        f"{one.name} {shown}": float(told[f"{shown}_{one.name.lower()}_ms"])
        for one in VLLM_SERIES
        for shown in SHOWN
    }
    return found | {
        THROUGHPUT.name: float(told["output_throughput"]),
        TOKENS.name: float(told["total_output_tokens"]),
        ACCEPTANCE.name: float(told["spec_decode_acceptance_length"]),
    }


def _guidellm(program: Path) -> Callable[[Job], Sequence[str]]:
    def command(job: Job) -> Sequence[str]:
        # A warm-up of 1 leaves out the first two requests: the phase ends as the next one starts.
        told = (*job.prompts[:1] * WARM, *job.prompts)
        lines = job.data.with_suffix(".jsonl")
        lines.write_text("".join(json.dumps({"prompt": one}) + "\n" for one in told))
        return (
            str(program.absolute()), "run",
            "--backend", f"kind=openai_http,target={job.url},model={job.model},"
            f"request_format=/v1/completions,max_tokens={job.max_tokens},"
            "extras.body.temperature=0",
            "--profile", f"kind=synchronous,warmup.value={WARM - 1},warmup.mode=requests",
            "--constraint", f"kind=max_requests,count={len(told)}",
            "--tokenizer", f"kind=huggingface_auto,model={job.tokenizer}",
            "--data", f"kind=json_file,path={lines}",
            "--output", f"kind=json,path={job.out}", "--disable-console",
        )  # fmt: skip

    return command


_GUIDELLM_KEYS = {
    "TTFT": ("time_to_first_token_ms", 1.0),
    "ITL": ("inter_token_latency_ms", 1.0),
    "TPOT": ("time_per_output_token_ms", 1.0),
    "latency": ("request_latency", 1e3),
}


def _read_guidellm(told: dict[str, Any], requests: int) -> Printed:
    metrics = told["benchmarks"][0]["metrics"]
    counted = metrics["output_token_count"]["successful"]
    _whole("guidellm", counted["count"], requests)
    found = {TOKENS.name: float(counted["total_sum"])}
    for name, (key, scale) in _GUIDELLM_KEYS.items():
        shown = metrics[key]["successful"]
        values = (shown["mean"], shown["median"], shown["percentiles"]["p99"])
        found |= {f"{name} {k}": v * scale for k, v in zip(SHOWN, values, strict=True)}
    return found


def _whole(name: str, counted: int, requests: int) -> None:
    if counted != requests:
        raise UnusableError(f"{name} counts {counted} of {requests} requests.")


def vllm_serve() -> Program:
    """`vllm bench serve` of the engine's own environment, which is this one."""
    of_block = (THROUGHPUT, TOKENS, ACCEPTANCE)
    return Program("vllm bench serve", _serve, _read_serve, VLLM_SERIES, interpolated, of_block)


def guidellm(program: Path = GUIDELLM) -> Program:
    return Program(
        "guidellm", _guidellm(program), _read_guidellm, GUIDELLM_SERIES, observed, (TOKENS,)
    )
