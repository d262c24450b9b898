"""W1 and W5: JSON from an invoice's text, and from a table."""

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from neuron.local import words
from neuron.local.example import Example, Outcome, ask

Record = dict[str, Any]
_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}


def schema_of(value: object) -> Record:
    """Closed, every key required; of a list, its first item's."""
    if isinstance(value, dict):
        return {
            "type": "object",
            "properties": {key: schema_of(one) for key, one in value.items()},
            "required": list(value),
            "additionalProperties": False,
        }
    if isinstance(value, list):
        return {"type": "array", "items": schema_of(value[0])}
    return {"type": _TYPES[type(value)]}


def same(a: object, b: object) -> bool:
    """Equal as JSON: 12 and 12.0 are one number, 1 and true are not, keys have no order."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return isinstance(a, bool) == isinstance(b, bool) and a == b


@dataclass(frozen=True)
class Parsed:
    value: object


def valid_json(text: str, schema: Mapping[str, Any]) -> Parsed | Outcome:
    """What `text` holds, or what is wrong with it."""
    try:
        value = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        return Outcome(False, False, f"not JSON: {error}")
    # Not `validate`: it would follow the schema's own $schema to another draft's rules.
    fault = best_match(Draft202012Validator(schema).iter_errors(value))
    if fault is not None:
        return Outcome(False, False, f"against the schema: {fault.message}")
    return Parsed(value)


def judge_json(text: str, schema: Mapping[str, Any], expected: object) -> Outcome:
    """Valid: parses and satisfies `schema`. Exact: equals `expected`."""
    found = valid_json(text, schema)
    if isinstance(found, Outcome):
        return found
    exact = same(found.value, expected)
    return Outcome(True, exact, None if exact else f"expected {json.dumps(expected)}")


@dataclass(frozen=True)
class _JsonTask:
    structured = True

    def check(self, example: Example, text: str) -> Outcome:
        return judge_json(text, example.schema or {}, example.facts["value"])


_KEYS = (
    "invoice_number, date, due_date, vendor, customer, city, currency, "
    "lines (each with description, quantity, unit_price) and total"
)
_EXTRACT = (
    "Extract this invoice as one JSON object with the keys {keys}. Answer with JSON only, no Markdown.\n\n{text}",
    "{text}\n\nWrite the invoice above as a JSON object. Keys: {keys}. Print nothing but the JSON, without a code fence.",
    "You turn invoices into JSON. Keys: {keys}. No explanation, no Markdown, only the object.\nInvoice: {text}",
)
_TEXTS = (
    "{vendor} billed {customer} of {city} on {date} with invoice {invoice_number}, payable by {due_date}, all amounts in {currency}. The positions are {lines}. The total is {total}.",
    "Invoice {invoice_number} of {date}, due {due_date}. Seller: {vendor}. Buyer: {customer}, {city}. Currency {currency}. Delivered were {lines}; that makes {total}.",
    "On {date} {customer} in {city} received invoice {invoice_number} from {vendor} for {lines}. By {due_date} a total of {total} {currency} has to be paid.",
)


def _invoice(rng: random.Random) -> Record:
    lines: list[Record] = [
        {
            "description": f"{rng.choice(words.COLOURS)} {rng.choice(words.PRODUCTS)}",
            "quantity": rng.randint(2, 20),
            "unit_price": words.price(rng),
        }
        for _ in range(rng.randint(3, 4))
    ]
    total = sum(round(100 * line["quantity"] * line["unit_price"]) for line in lines) / 100
    return {
        "invoice_number": words.code(rng),
        "date": words.iso_date(rng),
        "due_date": words.iso_date(rng),
        "vendor": f"{rng.choice(words.LAST)} {rng.choice(('Ltd', 'GmbH', 'AB', 'Inc'))}",
        "customer": words.person(rng),
        "city": rng.choice(words.CITIES),
        "currency": rng.choice(words.CURRENCIES),
        "lines": lines,
        "total": total,
    }


@dataclass(frozen=True)
class Invoice(_JsonTask):
    name: str = "json_extract"

    def sample(self, rng: random.Random) -> Example:
        record = _invoice(rng)
        listed = ", ".join(
            f"{one['quantity']} x {one['description']} at {one['unit_price']} each"
            for one in record["lines"]
        )
        text = rng.choice(_TEXTS).format(**{**record, "lines": listed})
        phrasing = rng.randrange(len(_EXTRACT))
        prompt = _EXTRACT[phrasing].format(keys=_KEYS, text=text)
        answer = json.dumps(record, indent=2)
        return Example(
            self.name, phrasing, ask(prompt), answer, (), schema_of(record), {"value": record}
        )


_COLUMNS: dict[str, Callable[[random.Random], object]] = {
    "id": lambda rng: rng.randint(1000, 9999),
    "name": words.person,
    "city": lambda rng: rng.choice(words.CITIES),
    "item": lambda rng: rng.choice(words.PRODUCTS),
    "stock": lambda rng: rng.randint(1, 500),
    "price": words.price,
    "created": words.iso_date,
    "status": lambda rng: rng.choice(words.STATUSES),
}
_ROWS = 10
_CSV = (
    "Convert this CSV to a JSON array of objects, numbers as numbers. Answer with JSON only, no Markdown.\n{csv}",
    "{csv}\n\nGive the table above as JSON: an array with one object per row, numbers unquoted. Only the JSON, no code fence.",
    "CSV to JSON, please: one object per row in one array, numbers as JSON numbers, no explanation, no Markdown.\n{csv}",
)


@dataclass(frozen=True)
class Csv(_JsonTask):
    name: str = "csv_to_json"

    def sample(self, rng: random.Random) -> Example:
        columns = rng.sample(list(_COLUMNS), 4)
        rows = [{column: _COLUMNS[column](rng) for column in columns} for _ in range(_ROWS)]
        table = [",".join(columns), *(",".join(map(str, row.values())) for row in rows)]
        phrasing = rng.randrange(len(_CSV))
        prompt = _CSV[phrasing].format(csv="\n".join(table))
        answer = "[\n" + ",\n".join("  " + json.dumps(row) for row in rows) + "\n]"
        return Example(
            self.name, phrasing, ask(prompt), answer, (), schema_of(rows), {"value": rows}
        )
