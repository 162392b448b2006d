from __future__ import annotations

import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.engine import Permanent
from alert_refresh.rules.forms import yaml_text
from alert_refresh.rules.forms.text_file import never, read
from alert_refresh.rules.forms.values import Other, Places


def value(text: str) -> Any:
    """The value of a scalar without quotes."""
    return yaml_text.read(f"- {text}", never)[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", True), ("False", False), ("yes", True), ("off", False), ("null", None), ("~", None), ("", None),
        ("0", 0), ("-5", -5), ("+7", 7), ("12345678901", 12345678901), ("text", "text"), ("a b", "a b"), ("-", [None]),
        ("'5'", "5"), ('"true"', "true"), ("!!str 5", "5"), ("! 5", "5"), ("<<", "<<"), ("y", "y"), ("=", Other),
        ("1.5", Other), ("1e3", Other), ("0x10", Other), ("010", Other), ("0o17", Other), ("1_000", Other),
        ("1:30", Other), ("2001-01-01", Other), (".nan", Other), (".inf", Other), ("9" * 5000, Other),
    ],
)  # fmt: skip
def test_a_scalar_is_not_converted(text: str, expected: Any) -> None:
    found = value(text)
    assert isinstance(found, Other) if expected is Other else (type(found), found) == (type(expected), expected)


@pytest.mark.parametrize("colons", [400, 100_000, 2_000_000])
def test_a_base_60_number_is_read_in_linear_time(colons: int) -> None:
    began = time.thread_time()
    assert isinstance(value(":".join(["1"] * colons)), Other)
    assert isinstance(value(":".join(["1"] * colons) + ".0"), Other)
    assert time.thread_time() - began < 10


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rules:\n- id: [\n", "not YAML: line 3, column 1"),
        ("- {id: a,\n   match: [a=b}\n", "line 2, column 15: expected a comma or ] (within what begins in line 2)"),
        ("- {id: a,\n   family: b\n- id: c\n- id: d\n", "expected a comma or } (within what begins in line 1)"),
        ("- id: a\n  match: [x]\n   family: b\n", "column 4: expected a key; the lines are not indented alike, or"),
        ("- id: a\n  description: canary: x\n", "a colon that is followed by a blank is not allowed here"),
        ("- id: 'a\n- id: b\n", "the text ends within quotes (within what begins in line 1)"),
        ("- id: a\n  family: @x\n", "column 11: a value cannot begin with this character; write it in quotes"),
        ('- id: "a\\q"\n', "this escape sequence is unknown"),
        ("- id: a\n family: b\n", "the lines are not indented alike (within what begins in line 1)"),
        ("- id: a\n\tmatch: x\n", "not YAML: line 2, column 1: a tab cannot indent"),
        ("a: b: c\n", "not YAML: line 1, column 5"),
        ("- 'x\n", "not YAML: line 2, column 1"),
        ("- a\n- \x01\n", "not YAML: line 2 has a character that YAML does not allow"),
        ("- &a {x: y}\n- <<: *a\n", "the merge key << in line 2 is not supported; write the fields out"),
        ("- id: a\n  annotations: {<<: {x: y}}\n", "the merge key << in line 2 is not supported"),
        ("d: &d {}\nrules:\n- id: a\n  <<: [*d]\n", "the merge key << in line 4 is not supported"),
        ("- id: a\n---\n- id: b\n", "not YAML of one document: a second one begins in line 2"),
        ("- id: a\n- *nothing\n", "the alias in line 2 has no anchor before it, or is inside its own anchor"),
        ("- &a\n  - *a\n", "the alias in line 2 has no anchor before it, or is inside its own anchor"),
        ("- !!binary eA==\n", "the tag '!!binary' in line 1 is not supported"),
        ("- id: a\n- !m\u00fc x\n", "not YAML: line 2"),
        ("- x\n- " + "[" * 30, "more than 20 nested lists and mappings in line 2"),
    ],
)
def test_what_is_not_read_is_named_with_its_line(text: str, said: str) -> None:
    with pytest.raises(Permanent, match="the rules file is not YAML") as refused:
        yaml_text.read(text, never)
    assert said in str(refused.value) and refused.value.error_type == "parse"


@pytest.mark.parametrize("key", ['"<<"', "'<<'"])
def test_a_key_in_quotes_is_not_a_merge_key(key: str) -> None:
    assert yaml_text.read(f"{{{key}: x}}", never) == {"<<": "x"}


def test_aliases_share_what_they_name() -> None:
    found = yaml_text.read("- &a [x, &b y]\n- *a\n- *b\n", never)
    assert found == [["x", "y"], ["x", "y"], "y"] and found[0] is found[1]


def test_keys_that_are_not_text_are_kept_apart() -> None:
    found = yaml_text.read("{1: a, 1: b, true: c, [x]: d, {y: z}: e, null: f}", never)
    assert len(found) == 6 and all(isinstance(key, Other) for key in found)


@pytest.mark.parametrize("text", ["- x\n" * 5000, "- {" + "a: b," * 5000 + "}"])
def test_the_deadline_is_looked_at_while_reading(text: str) -> None:
    def late() -> None:
        raise TimeoutError

    with pytest.raises(TimeoutError):
        yaml_text.read(text, late)


def test_the_lines_of_what_is_wanted_are_noted() -> None:
    places = Places(lambda path: True)
    yaml_text.read("rules:\n- id: a\n  match:\n  - x\n  - {y: z}\n- id: b\n  id: c\n", never, places)
    asked = [("rules",), ("rules", 0), ("rules", 0, "match", 1, "y"), ("rules", 0, "match", 1, "n"), ("rules", 1, "id")]
    assert [places.lines(path) for path in asked] == [(1,), (2,), (5,), (5,), (6, 7)]
    assert places.lines(("other",)) == ()


YAML = st.recursive(
    st.text() | st.booleans() | st.none() | st.integers(-(2**31), 2**31),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(YAML, st.booleans())
def test_what_pyyaml_writes_is_read_back(data: Any, flow: bool) -> None:
    assert yaml_text.read(yaml.safe_dump(data, default_flow_style=flow), never) == data


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_rf04_the_largest_yaml_is_smaller_than_that_of_other_forms(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    monkeypatch.setattr(yaml_text, "LARGEST", 10)
    if form == "json":
        assert read(b'[{"id": "aaaaaa"}]')
        return
    with pytest.raises(Permanent, match="of YAML; write it as JSON") as refused:
        read(b"- {id: aaaaaa}")
    assert refused.value.error_type == "too_large" and yaml_text.LARGEST_ALIASED == 32 << 20
