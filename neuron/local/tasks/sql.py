"""A query from a table definition and a question, judged by running it."""

import random
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from neuron.local import words
from neuron.local.example import Example, Outcome, ask

_COLUMNS: dict[str, tuple[str, Callable[[random.Random], Any]]] = {
    "city": ("TEXT", lambda rng: rng.choice(words.CITIES)),
    "status": ("TEXT", lambda rng: rng.choice(words.STATUSES)),
    "team": ("TEXT", lambda rng: rng.choice(words.TEAMS)),
    "colour": ("TEXT", lambda rng: rng.choice(words.COLOURS)),
    "stock": ("INTEGER", lambda rng: rng.randint(0, 200)),
    "price": ("INTEGER", lambda rng: rng.randint(1, 200)),
    "weight": ("INTEGER", lambda rng: rng.randint(1, 200)),
    "score": ("INTEGER", lambda rng: rng.randint(1, 200)),
}
_TABLES = ("orders", "products", "tickets", "devices", "shipments", "members", "invoices", "assets")
_FRAMES = (
    "{ddl}\n\nWrite a SQL query: {question}",
    "Given the table\n{ddl}\nanswer in SQL. {question}",
    "Question: {question}\nSchema: {ddl}\nSQL:",
)


@dataclass(frozen=True)
class _Ask:
    question: str
    query: str
    column: str = ""
    value: object = None


def _questions(rng: random.Random, table: str, text: list[str], number: list[str]) -> _Ask:
    """One question of five kinds; every name and value in the query stands in the prompt."""
    by, other = text
    amount, second = number
    value = _COLUMNS[by][1](rng)
    bound, top = rng.randint(5, 150), rng.randint(2, 9)
    asks = (
        _Ask(
            f"the name, {other} and {amount} of {table} whose {by} is {value} and whose {second} is over {bound}, highest {amount} first.",
            f"SELECT name, {other}, {amount}\nFROM {table}\nWHERE {by} = '{value}'\n  AND {second} > {bound}\nORDER BY {amount} DESC, name;",
        ),
        _Ask(
            f"how many {table} there are per {by} with {amount} over {bound}, and their average {second}.",
            f"SELECT {by}, COUNT(*) AS n, AVG({second}) AS average\nFROM {table}\nWHERE {amount} > {bound}\nGROUP BY {by}\nORDER BY {by};",
        ),
        _Ask(
            f"the {top} {table} with the lowest {amount} where {second} is over {bound} and {by} is {value}.",
            f"SELECT name, {amount}, {second}\nFROM {table}\nWHERE {second} > {bound}\n  AND {by} = '{value}'\nORDER BY {amount}, name\nLIMIT {top};",
        ),
        _Ask(
            f"the average {amount} and the total {second} of {table} per {other} where {by} is {value}.",
            f"SELECT {other}, AVG({amount}) AS average, SUM({second}) AS total\nFROM {table}\nWHERE {by} = '{value}'\nGROUP BY {other}\nORDER BY {other};",
        ),
        _Ask(
            f"the total {amount} and the largest {second} of all {table} with {by} {value} and {other} not null.",
            f"SELECT SUM({amount}) AS total, MAX({second}) AS largest\nFROM {table}\nWHERE {by} = '{value}'\n  AND {other} IS NOT NULL;",
        ),
    )
    return replace(rng.choice(asks), column=by, value=value)


# The longest query of the reference needs some thousand over 60 rows; WITH RECURSIVE may never end.
_MAX_STEPS = 1_000_000
_MAX_BYTES = 1_000_000
_READING = frozenset(
    {sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION, sqlite3.SQLITE_RECURSIVE}
)


def _only_reading(action: int, *_: str | None) -> int:
    return sqlite3.SQLITE_OK if action in _READING else sqlite3.SQLITE_DENY


def run_query(ddl: str, rows: list[tuple[Any, ...]], query: str) -> list[tuple[Any, ...]]:
    """Raises sqlite3.Error where the query cannot run, does not end or would do more than read."""
    with sqlite3.connect(":memory:") as database:
        database.execute(ddl)
        if rows:
            table = ddl.split()[2]
            marks = ",".join("?" * len(rows[0]))
            database.executemany(f"INSERT INTO {table} VALUES ({marks})", rows)  # noqa: S608
            database.commit()
        database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _MAX_BYTES)
        database.set_authorizer(_only_reading)
        database.set_progress_handler(lambda: 1, _MAX_STEPS)
        result = database.execute(query).fetchall()
    database.close()
    return result


def _rows(example: Example) -> list[tuple[Any, ...]]:
    """Half of the rows carry the value asked for, so that a wrong value changes the result."""
    rng = random.Random(example.answer)
    asked, value = example.facts["column"], example.facts["value"]

    def cell(column: str) -> object:
        return value if column == asked and rng.random() < 0.5 else _COLUMNS[column][1](rng)

    return [
        (f"{rng.choice(words.PRODUCTS)} {i}", *(cell(c) for c in example.facts["columns"]))
        for i in range(60)
    ]


@dataclass(frozen=True)
class Sql:
    name: str = "sql"
    structured: bool = True

    def sample(self, rng: random.Random) -> Example:
        table = rng.choice(_TABLES)
        text = rng.sample([c for c, (kind, _) in _COLUMNS.items() if kind == "TEXT"], 2)
        number = rng.sample([c for c, (kind, _) in _COLUMNS.items() if kind == "INTEGER"], 2)
        columns = text + number
        rng.shuffle(columns)
        typed = ", ".join(f"{c} {_COLUMNS[c][0]}" for c in columns)
        ddl = f"CREATE TABLE {table} (name TEXT, {typed});"
        asked = _questions(rng, table, text, number)
        phrasing = rng.randrange(len(_FRAMES))
        prompt = _FRAMES[phrasing].format(ddl=ddl, question=asked.question)
        facts = {"ddl": ddl, "columns": columns, "column": asked.column, "value": asked.value}
        return Example(self.name, phrasing, ask(prompt), asked.query, (), None, facts)

    def check(self, example: Example, text: str) -> Outcome:
        ddl, rows = example.facts["ddl"], _rows(example)
        try:
            got = run_query(ddl, rows, text)
        except (sqlite3.Error, sqlite3.Warning, UnicodeError) as error:
            return Outcome(False, False, f"sqlite3: {error}")
        exact = got == run_query(ddl, rows, example.answer)
        return Outcome(True, exact, None if exact else "another result than the reference query")
