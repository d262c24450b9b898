"""Runs a dataclass that a model wrote, in a process of its own that can do little else.

`round_trip` starts this very file; its `main` reads the code and says on stdout what is wrong.
"""

import builtins
import dataclasses
import json
import resource
import subprocess
import sys
import tempfile
import types
import typing
from collections.abc import Mapping
from typing import Any

TIMEOUT_S = 5.0
CPU_S = 1
MEMORY_BYTES = 512 << 20
OPEN_FILES = 3
"""stdin, stdout, stderr: no further file, pipe or socket."""
MODULES: Mapping[str, types.ModuleType] = {"dataclasses": dataclasses, "typing": typing}
NAMES = (
    "bool bytes classmethod dict enumerate filter float frozenset getattr hasattr int isinstance "
    "len list map max min object property range repr reversed set setattr sorted staticmethod str "
    "sum super tuple type zip any all abs round KeyError TypeError ValueError AttributeError "
    "NotImplementedError __build_class__"
)


def round_trip(code: str, cls: str, values: Mapping[str, Any]) -> str | None:
    """What is wrong with class `cls` of `code`; `None`: its dict of `values` leads back to it."""
    asked = json.dumps({"code": code, "cls": cls, "values": values})
    with tempfile.TemporaryDirectory(prefix="bench-answer-") as folder:
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-S", __file__], input=asked, capture_output=True,
                encoding="utf-8", errors="replace", timeout=TIMEOUT_S, env={}, cwd=folder,
                check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"still running after {TIMEOUT_S:g} s"
    if done.returncode != 0:
        return f"its process ended with {done.returncode}"
    try:
        said = json.loads(done.stdout)["wrong"]
    except (ValueError, KeyError, TypeError):
        return "its process said nothing of use"
    return None if said is None else str(said)


def _confine() -> None:
    for what, most in (
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_AS, MEMORY_BYTES),
        (resource.RLIMIT_FSIZE, 1 << 20),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
    ):
        resource.setrlimit(what, (most, most))


def _import(name: str, *_: object) -> types.ModuleType:
    if name not in MODULES:
        raise ImportError(f"import of {name}")
    return MODULES[name]


def _wrong(code: str, cls: str, values: Mapping[str, Any]) -> str | None:
    module = types.ModuleType("answer")
    # dataclass() looks its class's module up by name.
    sys.modules["answer"] = module
    known = {name: getattr(builtins, name) for name in NAMES.split()}
    module.__dict__["__builtins__"] = {**known, "__import__": _import}
    exec(compile(code, "answer", "exec", dont_inherit=True), module.__dict__)  # noqa: S102
    made: Any = module.__dict__.get(cls)
    if not (isinstance(made, type) and dataclasses.is_dataclass(made)):
        return f"{cls} is no dataclass"
    if [one.name for one in dataclasses.fields(made)] != list(values):
        return "other fields than asked for"
    return _told_apart(made, values)


def _told_apart(made: Any, values: Mapping[str, Any]) -> str | None:  # noqa: ANN401 - a model's
    one = made(**values)
    told = one.to_dict()
    if told != values:
        return "to_dict gives another dict"
    again = made.from_dict(told)
    return None if type(again) is made and again == one else "from_dict gives another object"


def main() -> None:
    asked = json.loads(sys.stdin.read())
    _confine()
    try:
        wrong = _wrong(asked["code"], asked["cls"], asked["values"])
    except Exception as error:  # noqa: BLE001 - whatever the model's code raises is its fault
        wrong = f"{type(error).__name__}: {error}"
    sys.stdout.write(json.dumps({"wrong": wrong}))


if __name__ == "__main__":
    main()
