"""Faults of malformed JSON."""

from __future__ import annotations

import pytest

from tests.targets.secret.samples import only_fault


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"name": "a", // mine\n}', "line 1, column 15: expected a key in double quotes; JSON has no comments"),
        ('{"a": 1,\n# mine\n}', "line 2, column 1: expected a key in double quotes; JSON has no comments"),
        (
            '{"a": 1,\n}',
            "line 2, column 1: expected a key in double quotes; a comma is not allowed before a closing bracket",
        ),
        ('{"a": [1,]}', "line 1, column 10: expected a value; a comma is not allowed before a closing bracket"),
        (
            "{'a': 1}",
            'line 1, column 2: expected a key in double quotes or "}"; '
            "JSON has no other quotation marks than double ones",
        ),
        ('{"a": NaN}', "line 1, column 7: expected a value; JSON has neither NaN nor Infinity"),
        ('{"NaN": [1,\n -Infinity]}', "line 2, column 2: expected a value; JSON has neither NaN nor Infinity"),
        (
            '{"a": yes}',
            "line 1, column 7: expected a value; only true, false and null are words without quotation marks",
        ),
        ("{a: 1}", 'line 1, column 2: expected a key in double quotes or "}"; only true, false and null are words'),
        ('{"a" 1}', "line 1, column 6: expected a colon"),
        ('{"a": 1 "b": 2}', 'line 1, column 9: expected a comma or "}"'),
        ('{"a": {"x": 1} "b": 2}', 'line 1, column 16: expected a comma or "}"'),
        ("[1 2]", 'line 1, column 4: expected a comma or "]"'),
        ("[", 'line 1, column 2: expected a value or "]"; the text ends early'),
        ('{"a": 1', 'line 1, column 8: expected a comma or "}"; the text ends early'),
        ('{"a": 1}\n{"b": 2}', "line 2, column 1: expected the end of the text"),
        ('{"a": "x', "line 1, column 7: the string that begins here does not end"),
        ('{"a": "x\ny"}', "line 1, column 9: a line end, tab or other control character in a string must be escaped"),
        ('{"a": "\\x"}', "line 1, column 8: a backslash must begin one of the escapes of JSON"),
        ('{"a": 2025-11-25}', 'line 1, column 11: expected a comma or "}"'),
        ("name: a", "line 1, column 1: expected a value; only true, false and null are words"),
        (",", "line 1, column 1: expected a value"),
    ],
)
@pytest.mark.parametrize("shape", ["config", "target.json"])
def test_malformed_json_is_reported_with_its_place_and_what_was_expected(text: str, said: str, shape: str) -> None:
    fault = only_fault({shape: text})
    assert fault.field == shape
    assert fault.message.startswith(f"schema: is not valid JSON: {said}"), fault.message
