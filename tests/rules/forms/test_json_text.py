from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.engine import Permanent
from alert_refresh.rules.forms import json_text
from alert_refresh.rules.forms.text_file import Text, never
from alert_refresh.rules.forms.values import Places


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[\n{"id": "a"},\n{"id": "b",}\n]', "not JSON: line 3, column 1"),
        ('{"rules": [\n  {"id": "a" "family": "b"}\n]}', "not JSON: line 2, column 14"),
        ('{\n"id": "a",\n"match": [canary]\n}', "not JSON: line 3, column 11"),
        ('[{"id": "a"}]\n[{"id": "b"}]', "not JSON: line 2, column 1"),
        ('{"id": canary}\n{"id": "b"}\n', "not JSON: line 1, column 8"),
        ('{"id": "a"}\n\n{"id": "b"\n{"id": "c"}\n', "not JSON lines: line 3, column 11"),
        ('{"id": "a"}\n{"id": "b"} {"id": "c"}\n', "not JSON lines: line 2, column 13"),
        ('[{"id": "a\n"}]', "not JSON: line 1, column 11"),
        ("[" * 100_000, "JSON with too many nested lists and mappings"),
        ('{"id": "a"}\n' + '{"a":' * 100_000, "not JSON lines: line 2 is nested too deeply"),
        ('{"a":' * 100_000 + "\n{}", "JSON with too many nested lists and mappings"),
    ],
)
def test_the_true_fault_is_named_with_line_and_column_and_not_shown(text: str, said: str) -> None:
    with pytest.raises(Permanent) as refused:
        json_text.read(text, never)
    assert said in str(refused.value) and "canary" not in str(refused.value)
    assert refused.value.error_type == "parse"


def test_text_that_is_not_utf_8_is_named_by_line() -> None:
    with pytest.raises(Permanent, match="not UTF-8: line 3"):
        Text(b'[\n{"id": "a"},\n{"id": "\xff"}]')


@pytest.mark.parametrize(
    ("text", "path", "lines"),
    [
        ('[\n{"id": "a",\n"match": ["x",\n"y"]}]', (0, "match", 1), (4,)),
        ('[[],\n{},\n{"a": {"b":\n1}}]', (2, "a", "b"), (3,)),
        ('[{},{"a":\n{}, "b": [[1],\n{"c": 2}]}]', (1, "b", 1, "c"), (3,)),
        ('[{"id": "a",\n\n"id": "b"}]', (0, "id"), (1, 3)),
        ('[{"t": "}]{,\\"[",\n"id": 1}]', (0, "id"), (2,)),
        ('{"id": "a",\n"priority": 1}', (0, "priority"), (2,)),
        ('{"id": "a"}\n\n{"id": "b", "x": {}}\n', (1, "x"), (3,)),
        ('{"rules": [\n{"id": "a"},\n{"id":\n"b"}]}', ("rules", 1, "id"), (3,)),
    ],
)
def test_the_lines_of_a_text_are_found(text: str, path: tuple[Any, ...], lines: tuple[int, ...]) -> None:
    places = Places(lambda path: True)
    json_text.locate(text, never, places)
    assert places.lines(path) == lines


LEAF = st.text() | st.integers() | st.none() | st.booleans()
DATA = st.recursive(LEAF, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=15)


@given(st.lists(DATA, min_size=1))
def test_the_line_of_any_value_is_found(data: list[Any]) -> None:
    text = json.dumps(data, indent=1)
    places = Places(lambda path: True)
    json_text._Scan(places, never, []).run(text)
    written = text.split("\n")

    def look(value: Any, path: tuple[Any, ...]) -> None:
        (line,) = places.lines(path)
        start = json.dumps(value)
        start = start if not isinstance(value, list | dict) or not value else start[0]
        name = f"{json.dumps(path[-1])}: " if isinstance(path[-1], str) else ""
        assert written[line - 1].strip().rstrip(",") == name + start
        pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        for key, inner in pairs:
            look(inner, (*path, key))

    for index, one in enumerate(data):
        look(one, (index,))


@pytest.mark.parametrize("text", ['{"id": "a"}\n' * 2000, "[" + ",".join(["{}"] * 2000) + "]"])
def test_the_deadline_is_looked_at_while_lines_are_read_and_looked_for(text: str) -> None:
    def late() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        json_text.locate(text, late, Places(lambda path: True))
