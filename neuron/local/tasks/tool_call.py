"""One function call from one or two tool specs, in Qwen's `<tool_call>` form."""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jsonschema

from neuron.local import words
from neuron.local.example import Example, Outcome

Arguments = dict[str, Any]
OPEN, CLOSE = "<tool_call>\n", "\n</tool_call>"


@dataclass(frozen=True)
class _Tool:
    name: str
    description: str
    types: Mapping[str, str]
    draw: Callable[[random.Random], Arguments]
    requests: tuple[str, ...]

    def spec(self) -> dict[str, Any]:
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description,
                "parameters": self.parameters(),
            },
        }

    def parameters(self) -> dict[str, Any]:
        return {
            "type": "object",
            "properties": {key: {"type": kind} for key, kind in self.types.items()},
            "required": list(self.types),
        }


def _flight(rng: random.Random) -> Arguments:
    origin, destination = rng.sample(words.CITIES, 2)
    seats = rng.randint(1, 9)
    return {
        "origin": origin,
        "destination": destination,
        "date": words.iso_date(rng),
        "seats": seats,
    }


def _money(rng: random.Random) -> Arguments:
    source, target = rng.sample(words.CURRENCIES, 2)
    return {"amount": rng.randint(5, 9999), "source": source, "target": target}


TOOLS = (
    _Tool(
        "book_flight",
        "Book a flight",
        {"origin": "string", "destination": "string", "date": "string", "seats": "integer"},
        _flight,
        (
            "Book {seats} seats from {origin} to {destination} on {date}.",
            "I need to fly from {origin} to {destination} on {date}, {seats} seats please.",
            "On {date} get me {seats} seats on a flight to {destination}, leaving from {origin}.",
        ),
    ),
    _Tool(
        "get_weather",
        "Weather forecast for a city",
        {"city": "string", "date": "string", "unit": "string"},
        lambda rng: {
            "city": rng.choice(words.CITIES),
            "date": words.iso_date(rng),
            "unit": rng.choice(words.UNITS),
        },
        (
            "What will the weather be in {city} on {date}, in {unit}?",
            "Give me the forecast for {city} on {date} in {unit}.",
            "On {date} I am in {city}. How warm will it be in {unit}?",
        ),
    ),
    _Tool(
        "convert_money",
        "Convert an amount of money",
        {"amount": "integer", "source": "string", "target": "string"},
        _money,
        (
            "How much is {amount} {source} in {target}?",
            "Convert {amount} {source} to {target}.",
            "I have {amount} {source} and want {target}.",
        ),
    ),
    _Tool(
        "create_ticket",
        "Open a support ticket",
        {"customer": "string", "item": "string", "team": "string", "priority": "integer"},
        lambda rng: {
            "customer": words.person(rng),
            "item": rng.choice(words.PRODUCTS),
            "team": rng.choice(words.TEAMS),
            "priority": rng.randint(1, 5),
        },
        (
            "Open a ticket for {customer} about a broken {item}, priority {priority}, team {team}.",
            "{customer} has a problem with the {item}. Tell {team}, priority {priority}.",
            "The {team} team must look at the {item} of {customer} with priority {priority}.",
        ),
    ),
    _Tool(
        "add_event",
        "Put a meeting into the calendar",
        {"person": "string", "city": "string", "date": "string", "hour": "integer"},
        lambda rng: {
            "person": words.person(rng),
            "city": rng.choice(words.CITIES),
            "date": words.iso_date(rng),
            "hour": rng.randint(7, 19),
        },
        (
            "Meet {person} in {city} on {date} at {hour}.",
            "Put a meeting with {person} on {date} at {hour} in {city} into my calendar.",
            "At {hour} on {date} I see {person} in {city}. Note it.",
        ),
    ),
)


@dataclass(frozen=True)
class ToolCall:
    name: str = "tool_call"
    structured: bool = True

    def sample(self, rng: random.Random) -> Example:
        offered = rng.sample(TOOLS, rng.randint(1, 2))
        tool = rng.choice(offered)
        arguments = tool.draw(rng)
        phrasing = rng.randrange(len(tool.requests))
        call = {"name": tool.name, "arguments": arguments}
        messages = ({"role": "user", "content": tool.requests[phrasing].format(**arguments)},)
        return Example(
            self.name,
            phrasing,
            messages,
            OPEN + json.dumps(call) + CLOSE,
            tuple(t.spec() for t in offered),
            None,
            {"call": call, "parameters": {t.name: t.parameters() for t in offered}},
        )

    def check(self, example: Example, text: str) -> Outcome:
        body = text.strip()
        if not (body.startswith(OPEN) and body.endswith(CLOSE)):
            return Outcome(False, False, "no <tool_call> block")
        try:
            call = json.loads(body[len(OPEN) : -len(CLOSE)])
            jsonschema.validate(call["arguments"], example.facts["parameters"][call["name"]])
        except json.JSONDecodeError as error:
            return Outcome(False, False, f"not JSON: {error}")
        except (KeyError, TypeError) as error:
            return Outcome(False, False, f"not a call of an offered tool: {error}")
        except jsonschema.ValidationError as error:
            return Outcome(False, False, f"against the tool's parameters: {error.message}")
        exact = call == example.facts["call"]
        return Outcome(True, exact, None if exact else f"expected {example.facts['call']}")
