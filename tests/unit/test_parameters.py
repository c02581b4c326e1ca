# SPDX-License-Identifier: Apache-2.0

"""How many parameters a function may have: more are a value that has no name yet."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOST = 6
MORE = {
    "controller/cli/hosts.py invite": "a command: one for each of its options",
    "controller/switch/hosts.py __init__": "what hosts are told of us is no value yet",
    "controller/switch/inventory.py __init__": "what is remembered of hosts is no value yet",
}
"""Those that may have more, and why."""


def too_many(source: str) -> Iterator[str]:
    """The functions of a source text that have more, not counting ``self`` and ``cls``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            given = node.args
            named = [each.arg for each in (*given.posonlyargs, *given.args, *given.kwonlyargs)]
            others = [each for each in (given.vararg, given.kwarg) if each]
            if len([name for name in named if name not in ("self", "cls")]) + len(others) > MOST:
                yield node.name


@pytest.mark.parametrize("folder", ["controller", "apps"])
def test_functions_have_few_parameters(folder: str) -> None:
    found = {
        f"{path.relative_to(ROOT).as_posix()} {name}"
        for path in (ROOT / folder).rglob("*.py")
        for name in too_many(path.read_text())
    }
    assert found == {name for name in MORE if name.startswith(folder)}


def test_parameters_of_all_kinds_count() -> None:
    source = "def f(self, a, /, b, c=1, *d, e, **f): ...\ndef g(a, /, b, *c, d, e, f, **h): ..."
    assert list(too_many(source)) == ["g"]
