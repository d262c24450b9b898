"""W4 and W6: a dataclass with to_dict and from_dict, and its methods renamed."""

import ast
import random
from dataclasses import dataclass

from bench.workloads.roundtrip import MODULES, round_trip
from neuron.local import words
from neuron.local.example import Example, Outcome, ask
from neuron.local.tasks.python import dataclass_source

_VALUES: dict[str, object] = {"int": 7, "str": "seven", "float": 0.5, "bool": True}
_WRITE = (
    "Write a Python dataclass {cls} with the fields {fields} and methods to_dict and from_dict (a classmethod). Code only, no Markdown.",
    "Python, no explanation, no code fence: class {cls}, a dataclass. Fields: {fields}. Add to_dict and the classmethod from_dict.",
    "I need {cls}({fields}) as a Python dataclass with to_dict and a classmethod from_dict. Print only the code, no Markdown.",
)
_RENAME = (
    "Rename the method to_dict to {to} and from_dict to {back} in this file and print the whole file. Code only, no Markdown.\n\n{code}",
    "{code}\n\nPrint this file again with to_dict renamed to {to} and from_dict renamed to {back}. No explanation, no code fence.",
    "In the code below, call to_dict {to} and from_dict {back} instead. Print all of it, only the code, no Markdown.\n\n{code}",
)
_TO = ("as_record", "export", "to_mapping", "dump", "serialise", "as_row")
_BACK = ("from_record", "restore", "from_mapping", "load", "parse", "from_row")


def parsed(text: str) -> ast.Module | str:
    """The tree, or why there is none."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        return f"not Python: {error}"
    return tree if tree.body else "no code"


def _fields(rng: random.Random, least: int, most: int) -> dict[str, str]:
    names = rng.sample(words.IDENTIFIERS, rng.randint(least, most))
    return {name: rng.choice(list(_VALUES)) for name in names}


def _source(cls: str, fields: dict[str, str]) -> str:
    return dataclass_source(cls, fields, {name: f'data["{name}"]' for name in fields})


@dataclass(frozen=True)
class Boilerplate:
    name: str = "code_boilerplate"
    structured: bool = True

    def sample(self, rng: random.Random) -> Example:
        cls, fields = rng.choice(words.CLASSES), _fields(rng, 4, 6)
        listed = ", ".join(f"{name}: {kind}" for name, kind in fields.items())
        phrasing = rng.randrange(len(_WRITE))
        prompt = _WRITE[phrasing].format(cls=cls, fields=listed)
        facts = {"cls": cls, "values": {name: _VALUES[kind] for name, kind in fields.items()}}
        return Example(self.name, phrasing, ask(prompt), _source(cls, fields), (), None, facts)

    def check(self, example: Example, text: str) -> Outcome:
        """Valid: parses, and only imports and defines. Exact: an object's dict leads back to it."""
        tree = parsed(text)
        if isinstance(tree, str):
            return Outcome(False, False, tree)
        if not all(map(_defines, tree.body)):
            return Outcome(False, False, "does more than define a dataclass")
        wrong = round_trip(text, example.facts["cls"], example.facts["values"])
        return Outcome(True, wrong is None, wrong)


def _defines(node: ast.stmt) -> bool:
    """A definition, a docstring, or an import of what a dataclass needs."""
    if isinstance(node, ast.Import):
        return all(one.name in MODULES for one in node.names)
    if isinstance(node, ast.ImportFrom):
        return node.module in {*MODULES, "__future__"}
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    return isinstance(node, ast.ClassDef) or is_text


@dataclass(frozen=True)
class Edit:
    name: str = "code_edit"
    structured: bool = True

    def sample(self, rng: random.Random) -> Example:
        code = _source(rng.choice(words.CLASSES), _fields(rng, 4, 6))
        to, back = rng.choice(_TO), rng.choice(_BACK)
        answer = code.replace("def to_dict(", f"def {to}(").replace(
            "def from_dict(", f"def {back}("
        )
        phrasing = rng.randrange(len(_RENAME))
        prompt = _RENAME[phrasing].format(code=code, to=to, back=back)
        return Example(self.name, phrasing, ask(prompt), answer)

    def check(self, example: Example, text: str) -> Outcome:
        """Valid: parses. Exact: the syntax tree of the file with the methods renamed."""
        tree = parsed(text)
        if isinstance(tree, str):
            return Outcome(False, False, tree)
        exact = ast.dump(tree) == ast.dump(ast.parse(example.answer))
        return Outcome(True, exact, None if exact else "another syntax tree than the reference")
