"""W3: a query from a table's definition and a question, judged by the rows that it finds."""

import random
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass

from neuron.local import words
from neuron.local.example import Example, Outcome, ask
from neuron.local.tasks.sql import run_query

Cell = str | int
_TEXT: dict[str, tuple[str, ...]] = {
    "city": tuple(words.CITIES), "status": tuple(words.STATUSES), "team": tuple(words.TEAMS),
    "colour": tuple(words.COLOURS),
}  # fmt: skip
_NUMBERS = ("stock", "price", "weight", "score")
_TABLES = ("orders", "products", "tickets", "devices", "shipments", "members", "invoices", "assets")
_ROWS = 60
_FRAMES = (
    "{ddl}\n\nWrite one SQLite query: {question} Answer with SQL only, no Markdown.",
    "Given {ddl}\nanswer in SQL, without explanation or code fence. {question}",
    "Question: {question}\nSchema: {ddl}\nOnly the SQL, no Markdown:",
)


@dataclass(frozen=True)
class _Names:
    table: str
    by: str
    other: str
    amount: str
    second: str
    value: str
    bound: int
    top: int


def _filtered(n: _Names) -> tuple[str, str]:
    return (
        f"name, {n.other} and {n.amount}, in this order, of the {n.table} whose {n.by} is '{n.value}' and whose {n.second} is over {n.bound}; highest {n.amount} first, equal ones by name.",
        f"SELECT name, {n.other}, {n.amount} FROM {n.table} WHERE {n.by} = '{n.value}' AND {n.second} > {n.bound} ORDER BY {n.amount} DESC, name;",
    )


def _grouped(n: _Names) -> tuple[str, str]:
    return (
        f"for each {n.by}, that {n.by}, the number of {n.table} with {n.amount} over {n.bound} and their average {n.second}; ordered by {n.by}.",
        f"SELECT {n.by}, COUNT(*), AVG({n.second}) FROM {n.table} WHERE {n.amount} > {n.bound} GROUP BY {n.by} ORDER BY {n.by};",
    )


def _lowest(n: _Names) -> tuple[str, str]:
    return (
        f"name and {n.amount} of the {n.top} {n.table} with the lowest {n.amount} among those whose {n.by} is '{n.value}'; equal ones by name.",
        f"SELECT name, {n.amount} FROM {n.table} WHERE {n.by} = '{n.value}' ORDER BY {n.amount}, name LIMIT {n.top};",
    )


def _totals(n: _Names) -> tuple[str, str]:
    return (
        f"the total {n.amount} and the largest {n.second}, in this order, of all {n.table} whose {n.by} is '{n.value}' and whose {n.other} is not null.",
        f"SELECT SUM({n.amount}), MAX({n.second}) FROM {n.table} WHERE {n.by} = '{n.value}' AND {n.other} IS NOT NULL;",
    )


_ASKS: tuple[Callable[[_Names], tuple[str, str]], ...] = (_filtered, _grouped, _lowest, _totals)


@dataclass(frozen=True)
class Query:
    name: str = "sql"
    structured: bool = True

    def sample(self, rng: random.Random) -> Example:
        by, other = rng.sample(list(_TEXT), 2)
        amount, second = rng.sample(_NUMBERS, 2)
        named = _Names(
            rng.choice(_TABLES), by, other, amount, second, rng.choice(_TEXT[by]),
            rng.randint(5, 150), rng.randint(2, 9),
        )  # fmt: skip
        columns = [by, other, amount, second]
        rng.shuffle(columns)
        typed = ", ".join(f"{one} {'TEXT' if one in _TEXT else 'INTEGER'}" for one in columns)
        ddl = f"CREATE TABLE {named.table} (name TEXT, {typed});"
        question, query = rng.choice(_ASKS)(named)
        phrasing = rng.randrange(len(_FRAMES))
        prompt = _FRAMES[phrasing].format(ddl=ddl, question=question[0].upper() + question[1:])
        facts = {"ddl": ddl, "columns": columns, "by": by, "value": named.value}
        return Example(self.name, phrasing, ask(prompt), query, (), None, facts)

    def check(self, example: Example, text: str) -> Outcome:
        """Valid: sqlite3 runs it. Exact: the reference's rows."""
        ddl, rows = example.facts["ddl"], _rows(example)
        try:
            got = run_query(ddl, rows, text)
        except (sqlite3.Error, sqlite3.Warning, UnicodeError, ValueError) as error:
            return Outcome(False, False, f"sqlite3: {error}")
        exact = got == run_query(ddl, rows, example.answer)
        return Outcome(True, exact, None if exact else "other rows than the reference query's")


def _rows(example: Example) -> list[tuple[Cell, ...]]:
    """Half of them carry the value asked for, so that another value finds other rows."""
    rng = random.Random(example.answer)
    by, value = example.facts["by"], example.facts["value"]

    def cell(column: str) -> Cell:
        if column == by and rng.random() < 0.5:
            return str(value)
        return rng.choice(_TEXT[column]) if column in _TEXT else rng.randint(1, 200)

    return [
        (f"{rng.choice(words.PRODUCTS)} {i}", *(cell(one) for one in example.facts["columns"]))
        for i in range(_ROWS)
    ]
