"""Documents of YAML and JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from alert_refresh.targets.folder import documents
from alert_refresh.targets.folder.documents import NotText
from tests.targets.folder.folders import World, config


def test_json_files_are_json(world: World) -> None:
    for number, text in enumerate(
        ["{", "kind: Secret", "[" * 100_000, "{}{}", "[" + "0," * 1_100_000 + "0]", '"\xff"']
    ):
        (world.root / f"{number}.json").write_bytes(text.encode("latin-1"))
    assert world.names() == []
    assert [code for _, _, code in world.rejected()] == [
        "schema",
        "schema",
        "too_complex",
        "schema",
        "too_complex",
        "encoding",
    ]


def test_anchors_and_merge_keys_are_read(world: World) -> None:
    (world.root / "a.yaml").write_text(
        f"""
apiVersion: v1
kind: Secret
metadata: &meta
  name: a
  labels: &labels {{publishing-target: "true"}}
stringData: {{config: '{json.dumps(config("a"))}'}}
---
kind: Secret
metadata:
  name: b
  labels:
    <<: {{publishing-target: "true", team: "x"}}
stringData: {{config: '{json.dumps(config("b"))}'}}
---
.common: &common {{publishing-target: "false", tier: gold}}
kind: Secret
metadata:
  name: c
  labels:
    <<: [*common, {{publishing-target: "no", more: "x"}}]
    publishing-target: "true"
stringData: {{config: '{json.dumps(config("c"))}'}}
"""
    )
    assert world.names() == ["a", "b", "c"], world.rejected()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "kind: Secret\nmetadata:\n  <<: text",
            "schema: line 3: the merge key << takes a mapping or a list of mappings",
        ),
        ("kind: Secret\n<<: [{}, x]", "schema: line 2: the merge key << takes a mapping or a list of mappings"),
        ("kind: Secret\nkind: Secret", "repeated_key: line 2: 'kind' is repeated; a key may be there once"),
        ("kind: Secret\nmetadata:\n  name: a\n  name: b", "repeated_key: line 4: 'name' is repeated"),
        ("kind: Secret\n1: x", "schema: line 2: a key is no string; put it in quotes"),
        ("kind: Secret\nx: !env A", "schema: line 2: a tag is not allowed"),
        ("kind: Secret\nx: *a", "too_complex: line 2: an alias stands for nothing"),
        ("kind: Secret\n  x: {", "schema: is not valid YAML: line 2, column 4"),
        ("kind: Secret\n\tx: 1", "schema: is not valid YAML: line 2, column 1"),
    ],
)
def test_a_fault_of_a_yaml_file_is_reported_with_its_line(world: World, text: str, message: str) -> None:
    (world.root / "a.yaml").write_text(text)
    [rejected] = world.refresh().rejected
    assert rejected.faults[0].message.startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"kind": "Secret",\n "kind": "Secret"}', "repeated_key: 'kind' is repeated at line 2, column 2"),
        ('{"kind": "Secret", "data": {"a": "", "a": ""}}', "repeated_key: 'a' is repeated at line 1, column 38"),
        ('{"kind": "Secret",\n}', "schema: is not valid JSON: line 2, column 1: expected a key in double quotes"),
        ('{"kind": NaN}', "schema: is not valid JSON: line 1, column 10: expected a value; JSON has neither NaN"),
    ],
)
def test_a_fault_of_a_json_file_is_reported_with_its_place(world: World, text: str, message: str) -> None:
    (world.root / "a.json").write_text(text)
    [rejected] = world.refresh().rejected
    assert rejected.faults[0].message.startswith(message)


@pytest.mark.parametrize("loader", [documents.LOADER, yaml.SafeLoader])
def test_yaml_values(loader: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents, "LOADER", loader)
    text = """
    - plain words
    - 'true'
    - !!str true
    - ! 5
    - !!seq [a]
    - !!map {a: b}
    - &x {deep: [a]}
    - *x
    - |
      lines
    - null
    - ~
    -
    - dGVzdA==
    """
    [values] = documents.load("a.yaml", text.encode(), lambda: None)
    assert values == [
        "plain words",
        "true",
        "true",
        "5",
        ["a"],
        {"a": "b"},
        {"deep": ["a"]},
        {"deep": ["a"]},
        "lines\n",
        None,
        None,
        None,
        "dGVzdA==",
    ]


@pytest.mark.parametrize(
    "text", ["true", "no", "5", "-5.5", ".5", "1e3", "0x1f", "0o17", "1:30", "2001-01-01", "<<", ".inf", "1_000"]
)
def test_yaml_values_that_are_not_strings(text: str) -> None:
    [[value]] = documents.load("a.yaml", f"- {text}".encode(), lambda: None)
    assert isinstance(value, NotText) and value.source == text
