"""N1 and N2: open prose and random hex digits, which no draft can foresee."""

import random
import re
from dataclasses import dataclass

from neuron.local import words
from neuron.local.example import Example, Outcome, ask

WORDS = (150, 600)
"""About 200 to 800 tokens; 300 words are asked for."""
DISTINCT = 0.6
GRAM = 4
_PROSE = (
    "Write a short story of about 300 words about a {job} from {city} and a {colour} {item}.",
    "Write an essay of about 300 words: what a {job} in {city} learns from a {colour} {item}.",
    "In about 300 words, give your opinion: should every {job} in {city} own a {colour} {item}?",
)
LINES, DIGITS = 20, 32
_HEX = (
    "Print {n} random {d}-digit hexadecimal keys for the {name} service, one per line, nothing else.",
    "Give me {n} lines of {d} random hex digits each for {name}. No numbering, no other text.",
    "I need {n} random 128-bit values for {name} as {d} hex digits, one per line and nothing else.",
)


def distinct_share(text: str) -> float:
    """Of runs of four words, the share that is different; 0 where there are none."""
    said = text.lower().split()
    grams = list(zip(*(said[i:] for i in range(GRAM)), strict=False))
    return len(set(grams)) / len(grams) if grams else 0.0


@dataclass(frozen=True)
class Prose:
    name: str = "open_prose"
    structured: bool = False

    def sample(self, rng: random.Random) -> Example:
        phrasing = rng.randrange(len(_PROSE))
        prompt = _PROSE[phrasing].format(
            job=rng.choice(words.JOBS), city=rng.choice(words.CITIES),
            colour=rng.choice(words.COLOURS), item=rng.choice(words.PRODUCTS),
        )  # fmt: skip
        return Example(self.name, phrasing, ask(prompt), _any_prose(rng))

    def check(self, example: Example, text: str) -> Outcome:
        """Nothing is right or wrong in prose: both verdicts say that it is some."""
        count = len(text.split())
        faults = (
            ("<think>" in text, "thinks aloud"),
            (not WORDS[0] <= count <= WORDS[1], f"{count} words"),
            (distinct_share(text) <= DISTINCT, "repeats itself"),
        )
        why = next((reason for failed, reason in faults if failed), None)
        return Outcome(why is None, why is None, why)


def _any_prose(rng: random.Random) -> str:
    """Not what a model would write: only something that the validator takes for prose."""
    pools = (words.FIRST, words.LAST, words.CITIES, words.PRODUCTS, words.COLOURS, words.JOBS)
    return ". ".join(
        " ".join(rng.choice(rng.choice(pools)) for _ in range(rng.randint(8, 14)))
        for _ in range(30)
    )


@dataclass(frozen=True)
class Hex:
    name: str = "random_hex"
    structured: bool = False

    def sample(self, rng: random.Random) -> Example:
        phrasing = rng.randrange(len(_HEX))
        service = f"{rng.choice(words.APPS)}-{rng.choice(words.COLOURS)}-{rng.randint(1, 99)}"
        prompt = _HEX[phrasing].format(n=LINES, d=DIGITS, name=service)
        answer = "\n".join(f"{rng.getrandbits(4 * DIGITS):0{DIGITS}x}" for _ in range(LINES))
        return Example(self.name, phrasing, ask(prompt), answer)

    def check(self, example: Example, text: str) -> Outcome:
        """Valid: such lines only. Exact: as many, and no two alike."""
        lines = text.rstrip("\n").split("\n")
        valid = all(re.fullmatch(rf"[0-9a-fA-F]{{{DIGITS}}}", line) for line in lines)
        if not valid:
            return Outcome(False, False, f"not lines of {DIGITS} hex digits")
        exact = len(lines) == LINES == len(set(lines))
        return Outcome(True, exact, None if exact else f"not {LINES} different lines")
