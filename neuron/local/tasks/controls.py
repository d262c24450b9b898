"""High-entropy controls: prose of a made-up language, and random hex digits.

What comes next is a matter of chance, so that no draft can be right often; nothing is done to the
draft, the prompts or the acceptance rule to make it so.
"""

import random
import re
from dataclasses import dataclass
from itertools import product

from neuron.local.example import Example, Outcome, ask

_ONSETS, _VOWELS, _CODAS = "bdfgklmnprstvz", "aeiou", ("n", "r", "s", "l", "m")
_SYLLABLES = tuple(o + v for o, v in product(_ONSETS, _VOWELS))
_PROSE = (
    "Write a short text in Velan about {topic}.",
    "Tell me a story in the Velan language. Topic: {topic}.",
    "Velan, please: some sentences on {topic}.",
)
_TOPICS = "rain trade music bread winter ships stars gardens markets roads friends rivers".split()
_HEX = (
    "Give me {n} random hex strings of 16 digits.",
    "Print {n} lines of 16 random hexadecimal digits.",
    "I need {n} random 64-bit values in hex, one per line.",
)


def _word(rng: random.Random) -> str:
    """One of 24 500, all equally likely: with a lexicon to learn, word ends could be guessed."""
    return rng.choice(_SYLLABLES) + rng.choice(_SYLLABLES) + rng.choice(_CODAS)


def _sentence(rng: random.Random) -> str:
    return " ".join(_word(rng) for _ in range(rng.randint(4, 9))).capitalize() + "."


@dataclass(frozen=True)
class Prose:
    name: str = "prose"
    structured: bool = False

    def sample(self, rng: random.Random) -> Example:
        phrasing = rng.randrange(len(_PROSE))
        prompt = _PROSE[phrasing].format(topic=f"{rng.choice(_TOPICS)} and {rng.choice(_TOPICS)}")
        answer = " ".join(_sentence(rng) for _ in range(rng.randint(4, 7)))
        return Example(self.name, phrasing, ask(prompt), answer)

    def check(self, example: Example, text: str) -> Outcome:
        """Nothing is right or wrong here: both verdicts say that it is words and full stops."""
        good = re.fullmatch(r"[A-Za-z]+(?:[ .]+[A-Za-z]+)*\.?", text) is not None
        return Outcome(good, good, None if good else "not words and sentences")


@dataclass(frozen=True)
class Hex:
    name: str = "hex"
    structured: bool = False

    def sample(self, rng: random.Random) -> Example:
        phrasing, n = rng.randrange(len(_HEX)), rng.randint(3, 8)
        answer = "\n".join(f"{rng.getrandbits(64):016x}" for _ in range(n))
        prompt = _HEX[phrasing].format(n=n)
        return Example(self.name, phrasing, ask(prompt), answer, facts={"lines": n})

    def check(self, example: Example, text: str) -> Outcome:
        lines = text.split("\n")
        valid = all(re.fullmatch(r"[0-9a-f]{16}", line) for line in lines)
        exact = valid and len(lines) == example.facts["lines"]
        return Outcome(valid, exact, None if exact else "not so many lines of 16 hex digits")
