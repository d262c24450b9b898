"""Counting in steps, and repeating a line a given number of times."""

import random
from dataclasses import dataclass

from neuron.local import words
from neuron.local.example import Example, Outcome, ask

_COUNT = (
    "Count from {a} to {b}, separated by commas.",
    "Write the numbers {a} to {b} with commas between them.",
    "List every number starting at {a} and ending at {b}, comma separated.",
)
_REPEAT = (
    "Repeat this line {n} times: {line}",
    "Write the following line {n} times, one per row.\n{line}",
    'Print "{line}" {n} times, each on its own line.',
)
_POOLS = (words.FIRST, words.LAST, words.CITIES, words.PRODUCTS, words.COLOURS, words.JOBS)


@dataclass(frozen=True)
class CountRepeat:
    name: str = "count_repeat"
    structured: bool = True

    def sample(self, rng: random.Random) -> Example:
        phrasing = rng.randrange(3)
        if rng.random() < 0.5:
            first = rng.randint(1, 180)
            last = first + rng.randint(12, 25)
            answer = ", ".join(str(i) for i in range(first, last + 1))
            prompt = _COUNT[phrasing].format(a=first, b=last)
            return Example(self.name, phrasing, ask(prompt), answer, facts={"kind": "count"})
        parts = [rng.choice(rng.choice(_POOLS)) for _ in range(rng.randint(3, 7))]
        parts.insert(rng.randrange(len(parts) + 1), str(rng.randint(1, 9999)))
        line, times = " ".join(parts), rng.randint(3, 7)
        prompt = _REPEAT[phrasing].format(n=times, line=line)
        answer = "\n".join([line] * times)
        return Example(self.name, phrasing, ask(prompt), answer, facts={"kind": "repeat"})

    def check(self, example: Example, text: str) -> Outcome:
        exact = text == example.answer
        if example.facts["kind"] == "count":
            valid = all(part.isdigit() for part in text.split(", "))
        else:
            valid = len(set(text.split("\n"))) == 1 and bool(text)
        return Outcome(valid, exact, None if exact else "not the line or numbers asked for")
