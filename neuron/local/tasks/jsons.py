"""JSON from prose, JSON from a list of properties, JSON from CSV."""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jsonschema

from neuron.local import words
from neuron.local.example import Example, Outcome, ask

Record = dict[str, Any]
_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}


def object_schema(record: Record) -> dict[str, Any]:
    """A closed object schema with every key of `record` required."""
    return {
        "type": "object",
        "properties": {key: {"type": _TYPES[type(value)]} for key, value in record.items()},
        "required": list(record),
        "additionalProperties": False,
    }


def judge(text: str, schema: Mapping[str, Any], expected: object) -> Outcome:
    """Valid: parses and satisfies `schema`. Exact: equals `expected` in value and type."""
    try:
        value = json.loads(text)
        jsonschema.validate(value, schema)
    except json.JSONDecodeError as error:
        return Outcome(False, False, f"not JSON: {error}")
    except jsonschema.ValidationError as error:
        return Outcome(False, False, f"against the schema: {error.message}")
    exact = json.dumps(value) == json.dumps(expected)
    return Outcome(True, exact, None if exact else f"expected {json.dumps(expected)}")


def _order(rng: random.Random) -> tuple[Record, tuple[str, ...]]:
    r: Record = {
        "customer": words.person(rng),
        "city": rng.choice(words.CITIES),
        "product": rng.choice(words.PRODUCTS),
        "colour": rng.choice(words.COLOURS),
        "quantity": rng.randint(2, 99),
        "price": words.price(rng),
        "date": words.iso_date(rng),
    }
    return r, (
        "{customer} from {city} ordered {quantity} pieces of the {colour} {product} on {date}, each at {price} euros.",
        "On {date} we shipped {quantity} units of our {product} in {colour} to {customer} in {city}. The unit price was {price} euros.",
        "Invoice of {date}: {customer}, {city}. Item: {product}, {colour}. Quantity {quantity}, price {price} per piece.",
    )


def _employee(rng: random.Random) -> tuple[Record, tuple[str, ...]]:
    r: Record = {
        "name": words.person(rng),
        "age": rng.randint(19, 68),
        "job": rng.choice(words.JOBS),
        "city": rng.choice(words.CITIES),
        "team": rng.choice(words.TEAMS),
        "since": words.iso_date(rng),
        "remote": rng.random() < 0.5,
    }
    where = "works remotely" if r["remote"] else "works on site"
    return r, (
        "{name} is {age} years old, lives in {city} and joined the {team} team as a {job} on {since}. This person WHERE.".replace(
            "WHERE", where
        ),
        "Since {since} our {team} team has a new {job}: {name}, aged {age}, based in {city}, who WHERE.".replace(
            "WHERE", where
        ),
        "The {job} {name} ({age}) of {city} WHERE and has belonged to {team} since {since}.".replace(
            "WHERE", where
        ),
    )


def _booking(rng: random.Random) -> tuple[Record, tuple[str, ...]]:
    origin, destination = rng.sample(words.CITIES, 2)
    r: Record = {
        "passenger": words.person(rng),
        "flight": words.code(rng),
        "origin": origin,
        "destination": destination,
        "date": words.iso_date(rng),
        "seat": f"{rng.randint(1, 38)}{rng.choice('ABCDEF')}",
    }
    return r, (
        "{passenger} flies from {origin} to {destination} with flight {flight} on {date} and sits in seat {seat}.",
        "Flight {flight} leaves {origin} on {date} for {destination}. Seat {seat} is reserved for {passenger}.",
        "Please note the trip of {passenger}: {origin} to {destination}, {date}, flight {flight}, seat {seat}.",
    )


_DOMAINS: tuple[Callable[[random.Random], tuple[Record, tuple[str, ...]]], ...] = (
    _order,
    _employee,
    _booking,
)
_EXTRACT = (
    "Extract the facts as JSON with the keys {keys}.\n\n{text}",
    "{text}\n\nReturn a JSON object with these keys: {keys}.",
    "Read the text and answer only with JSON. Keys: {keys}.\nText: {text}",
)


@dataclass(frozen=True)
class JsonExtract:
    name: str = "json_extract"
    structured: bool = True

    def sample(self, rng: random.Random) -> Example:
        record, proses = rng.choice(_DOMAINS)(rng)
        phrasing = rng.randrange(len(_EXTRACT))
        text = rng.choice(proses).format(**record)
        prompt = _EXTRACT[phrasing].format(keys=", ".join(record), text=text)
        schema = object_schema(record)
        answer = json.dumps(record, indent=2)
        return Example(self.name, phrasing, ask(prompt), answer, (), schema, {"value": record})

    def check(self, example: Example, text: str) -> Outcome:
        return judge(text, example.schema or {}, example.facts["value"])


_FIELDS: dict[str, Callable[[random.Random], Any]] = {
    "id": lambda rng: rng.randint(100, 9999),
    "owner": words.person,
    "city": lambda rng: rng.choice(words.CITIES),
    "status": lambda rng: rng.choice(words.STATUSES),
    "team": lambda rng: rng.choice(words.TEAMS),
    "colour": lambda rng: rng.choice(words.COLOURS),
    "item": lambda rng: rng.choice(words.PRODUCTS),
    "price": words.price,
    "created": words.iso_date,
    "code": words.code,
    "stock": lambda rng: rng.randint(0, 500),
    "urgent": lambda rng: rng.random() < 0.5,
}
_RECORD = (
    "Write this as one flat JSON object.\n{lines}",
    "{lines}\nTurn the properties above into JSON.",
    "Make a JSON record of the following. {inline}",
)


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


@dataclass(frozen=True)
class JsonRecord:
    name: str = "json_record"
    structured: bool = True

    def sample(self, rng: random.Random) -> Example:
        keys = rng.sample(list(_FIELDS), rng.randint(5, 10))
        record = {key: _FIELDS[key](rng) for key in keys}
        phrasing = rng.randrange(len(_RECORD))
        parts = [f"{key}: {_plain(value)}" for key, value in record.items()]
        prompt = _RECORD[phrasing].format(lines="\n".join(parts), inline="; ".join(parts))
        schema = object_schema(record)
        answer = json.dumps(record)
        return Example(self.name, phrasing, ask(prompt), answer, (), schema, {"value": record})

    def check(self, example: Example, text: str) -> Outcome:
        return judge(text, example.schema or {}, example.facts["value"])


_COLUMNS: dict[str, Callable[[random.Random], Any]] = {
    "id": lambda rng: rng.randint(10, 999),
    "name": lambda rng: rng.choice(words.FIRST),
    "city": lambda rng: rng.choice(words.CITIES),
    "item": lambda rng: rng.choice(words.PRODUCTS),
    "colour": lambda rng: rng.choice(words.COLOURS),
    "stock": lambda rng: rng.randint(1, 200),
    "team": lambda rng: rng.choice(words.TEAMS),
    "status": lambda rng: rng.choice(words.STATUSES),
}
_CSV = (
    "Convert this CSV to a JSON array.\n{csv}",
    "{csv}\n\nGive the table above as JSON, one object per row.",
    "CSV to JSON, please:\n{csv}",
)


@dataclass(frozen=True)
class CsvToJson:
    name: str = "csv_to_json"
    structured: bool = True

    def sample(self, rng: random.Random) -> Example:
        columns = rng.sample(list(_COLUMNS), rng.randint(3, 4))
        rows = [
            {column: _COLUMNS[column](rng) for column in columns} for _ in range(rng.randint(3, 5))
        ]
        table = [",".join(columns), *(",".join(str(v) for v in row.values()) for row in rows)]
        phrasing = rng.randrange(len(_CSV))
        prompt = _CSV[phrasing].format(csv="\n".join(table))
        answer = "[\n" + ",\n".join("  " + json.dumps(row) for row in rows) + "\n]"
        schema = {"type": "array", "items": object_schema(rows[0])}
        return Example(self.name, phrasing, ask(prompt), answer, (), schema, {"value": rows})

    def check(self, example: Example, text: str) -> Outcome:
        return judge(text, example.schema or {}, example.facts["value"])
