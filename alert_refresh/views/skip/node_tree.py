"""The text in which PostgreSQL stores the query of a view or the body of a function (pg_node_tree)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

TOKEN = re.compile(r"[(){}]|(?:\\.|[^\s(){}\\])+", re.DOTALL)


@dataclass(eq=False, slots=True)
class Node:
    """One node: `fields` maps a field's name to its tokens and nodes; brackets of lists are left out."""

    name: str = ""
    fields: dict[str, list[str | Node]] = field(default_factory=dict)

    def number(self, name: str) -> int:
        """A field that is a number; 0 if it is missing."""
        return next(iter(self.numbers(name)), 0)

    def numbers(self, name: str) -> list[int]:
        """A field that is a list of numbers."""
        words = [word for word in self.fields.get(name, []) if isinstance(word, str)]
        return [int(word) for word in words if word.lstrip("-").isdecimal()]

    def nodes(self, name: str) -> list[Node]:
        """A field that is a node or a list of nodes."""
        return [one for one in self.fields.get(name, []) if isinstance(one, Node)]


def parse(text: str) -> list[Node]:
    """Every node of a tree in pre-order."""
    found: list[Node] = []
    outer: list[tuple[Node, list[str | Node]]] = []
    node = Node()
    values: list[str | Node] = []
    for word in TOKEN.findall(text):
        if word == "{":
            inner = Node()
            values.append(inner)
            found.append(inner)
            outer.append((node, values))
            node, values = inner, []
        elif word == "}":
            node, values = outer.pop()
        elif word in "()":
            continue
        elif not node.name and outer:
            node.name = word
        elif word.startswith(":"):
            values = []
            node.fields.setdefault(word[1:], values)
        else:
            values.append(word)
    return found
