"""The messages that modules can make, found in their code, so that a table of faults can be compared with them."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

Parts = list["str | None"]
"""A text of the code; None stands for what is filled in."""


def texts(path: Path) -> Iterator[Parts]:
    """Every text in a module that is no docstring, those that belong together as one."""
    tree = ast.parse(path.read_text())
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    documented = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if id(node) not in inside | documented and (parts := _parts(node)):
            yield parts


def raised(path: Path, *names: str) -> Iterator[Parts]:
    """The texts that a module hands to these, such as `Permanent("...")`, as their first argument."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and node.args and ast.unparse(node.func).rpartition(".")[2] in names:
            yield from [parts] if (parts := _parts(node.args[0])) else []


def plain(parts: Parts) -> str:
    """A text without what is filled in."""
    return "".join(part or "" for part in parts)


def missing(found: Iterable[Parts], messages: Iterable[str]) -> set[str]:
    """Regular expressions of the texts that no message has."""
    patterns = {"".join(".*" if part is None else re.escape(part) for part in parts) for parts in found}
    known = list(messages)
    return {one for one in patterns if not any(re.search(one, message, re.DOTALL) for message in known)}


def _parts(node: ast.AST) -> Parts:
    values = node.values if isinstance(node, ast.JoinedStr) else [node]
    parts = [part.value if isinstance(part, ast.Constant) else None for part in values]
    found: Parts = [part for part in parts if part is None or isinstance(part, str)]
    return found if len(found) == len(parts) and any(found) else []
