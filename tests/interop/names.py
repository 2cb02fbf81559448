"""The public names of Oban for Python, and what each takes; this runs in its virtual environment.

python -c 'from tests.interop.names import main; main()' < NAMES

NAMES is a JSON list such as ["oban.Oban.start"]. The answer is a JSON list: their signatures, and the public names
that are not among them.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import sys
from collections.abc import Iterator
from enum import Enum
from types import FunctionType, ModuleType
from typing import Any

import oban

METHODS = FunctionType, classmethod, staticmethod, property


def found(name: str) -> Any:
    """Give what a name stands for."""
    module, _, last = name.rpartition(".")
    rest = [last]
    while module not in sys.modules:
        module, _, last = module.rpartition(".")
        rest.insert(0, last)
    value: Any = sys.modules[module]
    for part in rest:
        value = inspect.getattr_static(value, part) if isinstance(value, type) else getattr(value, part)
    return value


def signature(value: Any) -> str:
    """Give what it takes, without types; of errors, enumerations and protocols "class", of values their type."""
    value = getattr(value, "__func__", value)
    if not callable(value):
        return type(value).__name__
    if isinstance(value, type) and (issubclass(value, Exception | Enum) or getattr(value, "_is_protocol", False)):
        return "class"
    return str(inspect.Signature([_untyped(parameter) for parameter in inspect.signature(value).parameters.values()]))


def _untyped(parameter: inspect.Parameter) -> inspect.Parameter:
    default = parameter.default.value if isinstance(parameter.default, Enum) else parameter.default
    return parameter.replace(annotation=parameter.empty, default=default)


def public() -> Iterator[tuple[str, Any]]:
    """Give the public names of public modules, and the public methods of their classes, each with its value."""
    for module in modules():
        exported = getattr(module, "__all__", ())
        for name, value in vars(module).items():
            if name in exported or (not name.startswith("_") and getattr(value, "__module__", "") == module.__name__):
                yield f"{module.__name__}.{name}", value
                for member, inner in vars(value).items() if isinstance(value, type) else ():
                    if not member.startswith("_") and isinstance(inner, METHODS):
                        yield f"{module.__name__}.{name}.{member}", inner


def modules() -> Iterator[ModuleType]:
    """Import the public modules, other than that of the command."""
    yield oban
    for module in pkgutil.walk_packages(oban.__path__, "oban."):
        if module.name != "oban.cli" and "._" not in module.name:
            yield importlib.import_module(module.name)


def main() -> None:
    """Answer for the names on the input."""
    everything = list(public())
    names = json.load(sys.stdin)
    known = {id(found(name)) for name in names}
    others = sorted({name for name, value in everything if id(value) not in known})
    json.dump([{name: signature(found(name)) for name in names}, others], sys.stdout)
