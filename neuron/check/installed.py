"""The keys of the NxDI that is installed here: its source is read, nothing of it is run."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from neuron.check.keyset import KeySet, nxdi_keys

PACKAGE = "neuronx_distributed_inference"


def installed_keys() -> KeySet | None:
    """None: NxDI is not installed, or is built so that its classes cannot be read."""
    try:
        spec = importlib.util.find_spec(PACKAGE)
    except ValueError:
        # A stand-in in sys.modules, without a spec.
        return None
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "models" / "config.py"
    if not path.is_file():
        return None
    found = keys_of_source(path.read_text(encoding="utf-8"))
    ours = nxdi_keys()
    if not ours.classes.keys() <= found.keys():
        return None
    return replace(ours, classes=found, origin=f"the installed {path}")


def keys_of_source(text: str) -> dict[str, frozenset[str]]:
    """By class: the arguments of its constructor, and what its methods take out of `kwargs`.

    A subclass's keys are its own; NxDI's classes are looked at one by one. Raises SyntaxError.
    """
    classes = [node for node in ast.parse(text).body if isinstance(node, ast.ClassDef)]
    return {node.name: frozenset([*_arguments(node), *_taken(node)]) for node in classes}


def _arguments(node: ast.ClassDef) -> Iterator[str]:
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and method.name == "__init__":
            arguments = [*method.args.args, *method.args.kwonlyargs]
            yield from (argument.arg for argument in arguments if argument.arg != "self")


def _taken(node: ast.ClassDef) -> Iterator[str]:
    for call in ast.walk(node):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
            owner, method = call.func.value, call.func.attr
            taken = method in ("pop", "get") and isinstance(owner, ast.Name)
            if taken and ast.unparse(owner) == "kwargs" and call.args:
                key = call.args[0]
                if isinstance(key, ast.Constant) and isinstance(key.value, str):
                    yield key.value
