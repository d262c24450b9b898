"""Python: dataclass boilerplate, and renaming a variable in a given function."""

import ast
import random
from collections.abc import Mapping
from dataclasses import dataclass

from neuron.local import words
from neuron.local.example import Example, Outcome, ask

_KINDS = ("int", "str", "float", "bool")
_DATACLASS = (
    "Write a Python dataclass {cls} with the fields {fields} and methods to_dict and from_dict.",
    "Python: class {cls}, a dataclass. Fields: {fields}. Add to_dict and from_dict.",
    "I need boilerplate for {cls}({fields}) as a dataclass with to_dict and from_dict.",
)
_RENAME = (
    "Rename {old} to {new} in this code:\n{code}",
    "{code}\n\nPrint the code again with {old} renamed to {new}.",
    "Replace the variable {old} by {new}. Code:\n{code}",
)


def judge(text: str, expected: str) -> Outcome:
    """Valid: parses. Exact: the same syntax tree as `expected`."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError) as error:
        return Outcome(False, False, f"not Python: {error}")
    if not tree.body:
        return Outcome(False, False, "no code")
    exact = ast.dump(tree) == ast.dump(ast.parse(expected))
    return Outcome(True, exact, None if exact else "another syntax tree than the reference")


def dataclass_source(cls: str, fields: Mapping[str, str], read: Mapping[str, str]) -> str:
    """`fields`: type by name; `read`: how from_dict gets each out of its `data`."""
    return "\n".join(
        (
            "from dataclasses import dataclass",
            "",
            "",
            "@dataclass",
            f"class {cls}:",
            *(f"    {name}: {kind}" for name, kind in fields.items()),
            "",
            "    def to_dict(self) -> dict:",
            "        return {",
            *(f'            "{name}": self.{name},' for name in fields),
            "        }",
            "",
            "    @classmethod",
            f'    def from_dict(cls, data: dict) -> "{cls}":',
            "        return cls(",
            *(f"            {name}={value}," for name, value in read.items()),
            "        )",
        )
    )


@dataclass(frozen=True)
class DataclassTask:
    name: str = "dataclass"
    structured: bool = True

    def sample(self, rng: random.Random) -> Example:
        cls = rng.choice(words.CLASSES)
        names = rng.sample(words.IDENTIFIERS, rng.randint(2, 4))
        fields = {name: rng.choice(_KINDS) for name in names}
        source = dataclass_source(
            cls, fields, {name: f'{kind}(data["{name}"])' for name, kind in fields.items()}
        )
        phrasing = rng.randrange(len(_DATACLASS))
        listed = ", ".join(f"{name}: {kind}" for name, kind in fields.items())
        prompt = _DATACLASS[phrasing].format(cls=cls, fields=listed)
        return Example(self.name, phrasing, ask(prompt), source)

    def check(self, example: Example, text: str) -> Outcome:
        return judge(text, example.answer)


def _function(rng: random.Random, function: str, names: list[str]) -> str:
    a, b, c = names
    number = rng.randint(2, 99)
    bodies = (
        f"def {function}({a}, {b}):\n    {c} = 0\n    for x in {a}:\n        if x > {b}:\n            {c} += x * {number}\n    return {c}",
        f"def {function}({a}, {b}={number}):\n    {c} = []\n    for x in {a}:\n        {c}.append(x + {b})\n    return {c}",
        f"def {function}({a}, {b}):\n    {c} = {a} * {number}\n    while {c} > {b}:\n        {c} = {c} - {b}\n    return ({c}, {a})",
        f"def {function}({a}, {b}):\n    if {a} < {b}:\n        return {number}\n    {c} = {a} - {b}\n    print({c}, {a})\n    return {c} / {b}",
    )
    return rng.choice(bodies)


@dataclass(frozen=True)
class Rename:
    name: str = "rename"
    structured: bool = True

    def sample(self, rng: random.Random) -> Example:
        *names, new = rng.sample(words.IDENTIFIERS, 4)
        functions = rng.sample(words.FUNCTIONS, 2)
        code = "\n\n".join(_function(rng, f, rng.sample(names, 3)) for f in functions)
        place = rng.randrange(len(names))
        renamed = _renamed(code, names[place], new)
        phrasing = rng.randrange(len(_RENAME))
        prompt = _RENAME[phrasing].format(old=names[place], new=new, code=code)
        return Example(self.name, phrasing, ask(prompt), renamed)

    def check(self, example: Example, text: str) -> Outcome:
        return judge(text, example.answer)


class _Renamer(ast.NodeTransformer):
    def __init__(self, old: str, new: str) -> None:
        self.old, self.new = old, new

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = self.new if node.id == self.old else node.id
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.arg = self.new if node.arg == self.old else node.arg
        return node


def _renamed(code: str, old: str, new: str) -> str:
    return ast.unparse(_Renamer(old, new).visit(ast.parse(code)))
