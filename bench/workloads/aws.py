"""AWS8: the eight cases of AWS's published experiment, as LLMPerf makes prompts of them.

The cases and the settings are those of `speculative_decoding_trn2_vllm/qwen-llmperf-pod.yaml` in
aws-neuron/aws-neuron-eks-samples (79d26d2); how a prompt is made is LLMPerf's `utils.py` and
`token_benchmark_ray.py` (ray-project/llmperf, f1d6bed). Both were read, neither is copied.
"""

import random
from dataclasses import dataclass

from bench.workloads.workload import Example, Outcome, Workload

PROMPT_TOKENS, MAX_TOKENS, CONCURRENCY, REQUESTS = 64, 600, 4, 8
HEAD = (
    f"Randomly stream lines from the following text with {MAX_TOKENS} output tokens. "
    "Don't generate eos tokens:\n\n"
)
HEAD_TOKENS = 27
"""Of the Llama tokenizer, with its BOS, as LLMPerf counts; so are those of the lines."""


@dataclass(frozen=True)
class Case:
    name: str
    lines: tuple[tuple[str, int], ...]
    """Each line without its end, with its Llama tokens including that end and BOS."""

    def prompt(self, rng: random.Random) -> str:
        """Whole lines in a drawn order while they fit, then as many characters as tokens left."""
        lines = list(self.lines)
        rng.shuffle(lines)
        text, left, place = HEAD, PROMPT_TOKENS - HEAD_TOKENS, 0
        while True:
            line, tokens = lines[place % len(lines)]
            if tokens > left:
                return text + f"{line}\n"[:left]
            text, left, place = f"{text}{line}\n", left - tokens, place + 1

    def examples(self, count: int, seed: int) -> list[Example]:
        rng = random.Random(f"{self.name}:{seed}")
        return [
            Example(
                self.name, 0,
                ({"role": "system", "content": ""}, {"role": "user", "content": self.prompt(rng)}),
                "",
            )
            for _ in range(count)
        ]  # fmt: skip

    def check(self, example: Example, text: str) -> Outcome:
        """Nothing is asked of the answer there; here that there is one."""
        return Outcome(bool(text), bool(text), None if text else "no text")


# The pod leaves LLMPerf's own sonnet.txt for this case; Sonnet 18 itself stands in for it here.
SONNET = (
    ("Shall I compare thee to a summer's day?", 14),
    ("Thou art more lovely and more temperate:", 13),
    ("Rough winds do shake the darling buds of May,", 17),
    ("And summer's lease hath all too short a date:", 15),
    ("Sometime too hot the eye of heaven shines,", 14),
    ("And often is his gold complexion dimm'd;", 14),
    ("And every fair from fair sometime declines,", 12),
    ("By chance or nature's changing course untrimm'd;", 16),
    ("But thy eternal summer shall not fade", 10),
    ("Nor lose possession of that fair thou owest;", 12),
    ("Nor shall Death brag thou wander'st in his shade,", 17),
    ("When in eternal lines to time thou growest:", 13),
    ("So long as men can breathe or eyes can see,", 15),
    ("So long lives this, and this gives life to thee.", 14),
)
CASES = (
    Case("aws_counting", (("counting numbers from 1 ", 8),)),
    Case("aws_shakespeare", SONNET),
    Case("aws_a", (("a", 3),)),
    Case("aws_hello", (("hello world ", 5),)),
    Case("aws_cat", (("the cat sat on the mat. ", 10),)),
    Case("aws_json", (("Output valid JSON with fixed keys", 8),)),
    Case("aws_python", (("Write a simple Python function skeleton", 9),)),
    Case("aws_twenty", (("List numbers from one to twenty", 8),)),
)
CODE = "AWS8"
ABOUT = "a line of AWS's experiment in LLMPerf's frame, until max_tokens; nothing is checked"


def aws() -> tuple[Workload, ...]:
    """Thinking as the chat template has it, as it was there."""
    return tuple(
        Workload(one.name, False, one, code=CODE, about=ABOUT, runs_to_limit=True) for one in CASES
    )
