"""W7: a line fifty times, or eighty numbers in a row."""

import random
import re
from dataclasses import dataclass

from neuron.local import words
from neuron.local.example import Example, Outcome, ask

TIMES = 50
NUMBERS = 80
_REPEAT = (
    "Repeat this line {n} times, one per row, nothing else: {line}",
    "Write the following line {n} times, each on its own row, without numbering.\n{line}",
    'Print "{line}" {n} times, without the quotes, one per row and nothing else.',
)
_COUNT = (
    "Count from {a} to {b}, separated by a comma and a space. Nothing else.",
    "Write all numbers from {a} to {b} on one line with ', ' between them and nothing else.",
    "List every number starting at {a} and ending at {b}, comma and space between, no other text.",
)


@dataclass(frozen=True)
class Repeat:
    name: str = "repeat_count"
    structured: bool = True

    def sample(self, rng: random.Random) -> Example:
        phrasing = rng.randrange(3)
        if rng.random() < 0.5:
            first = rng.randint(100, 900)
            last = first + NUMBERS - 1
            answer = ", ".join(map(str, range(first, last + 1)))
            prompt = _COUNT[phrasing].format(a=first, b=last)
            return Example(self.name, phrasing, ask(prompt), answer, facts={"kind": "count"})
        line = f"{words.person(rng)} has {rng.randint(2, 9)} {rng.choice(words.PRODUCTS)}s."
        prompt = _REPEAT[phrasing].format(n=TIMES, line=line)
        answer = "\n".join([line] * TIMES)
        return Example(self.name, phrasing, ask(prompt), answer, facts={"kind": "repeat"})

    def check(self, example: Example, text: str) -> Outcome:
        """Valid: numbers only, or one line only. Exact: those, and so many."""
        said = text.rstrip("\n")
        if example.facts["kind"] == "count":
            valid = re.fullmatch(r"\d+(?:, \d+)*", said) is not None
        else:
            valid = bool(said) and len(set(said.split("\n"))) == 1
        exact = said == example.answer
        return Outcome(valid, exact, None if exact else "not the lines or numbers asked for")
