from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.engine import Permanent
from alert_refresh.rules.forms import plain, text_file
from alert_refresh.rules.forms.values import Other
from tests.rules.examples import rule, rules

if TYPE_CHECKING:
    from collections.abc import Callable

ONE = [{"id": "a", "match": ['severity="critical"']}]


@pytest.mark.parametrize(
    "text",
    [
        "rules:\n- id: a\n  match: ['severity=\"critical\"']\n",
        "- id: a\n  match: ['severity=\"critical\"']\n",
        json.dumps(ONE),
        json.dumps(ONE, indent=2),
        json.dumps({"rules": ONE}),
        json.dumps({"rules": ONE}, indent=2),
        json.dumps(ONE[0]),
        json.dumps(ONE[0]) + "\n",
        "\n" + json.dumps(ONE[0]) + "\n\n",
        "{rules: [{id: a, match: ['severity=\"critical\"']}]}",
        "\ufeff" + json.dumps(ONE),
        "# rules\n---\n- id: a\n  match: ['severity=\"critical\"']\n...\n",
    ],
)
def test_yaml_json_and_json_lines_are_read(text: str) -> None:
    assert text_file.read(text.encode()) == ONE


def test_json_lines_are_one_rule_a_line() -> None:
    assert text_file.read(b'{"id": "a"}\r\n{"id": "b"}\n') == [{"id": "a"}, {"id": "b"}]


@pytest.mark.parametrize("text", ["[]", "rules: []", '{"rules": []}'])
def test_an_empty_list_of_rules_must_be_explicit(text: str) -> None:
    assert text_file.read(text.encode()) == []


@pytest.mark.parametrize("text", ["", "   ", "# nothing\n", "null"])
def test_an_empty_file_is_refused(text: str) -> None:
    with pytest.raises(Permanent, match="is empty"):
        text_file.read(text.encode())


@pytest.mark.parametrize("text", ["5", "abc", "rules: 5", "rules: []\nother: 1", '{"id": 1', "a: b"])
def test_what_holds_no_list_is_refused(text: str) -> None:
    with pytest.raises(Permanent):
        text_file.read(text.encode())


def test_an_invalid_line_is_named_and_not_shown() -> None:
    with pytest.raises(Permanent, match="not JSON lines: line 2, column 8") as raised:
        text_file.read(b'{"id": "a"}\n{"id": canary\n{"id": "c"}\n')
    assert "canary" not in str(raised.value)


def test_bad_yaml_is_named_by_line_and_not_shown() -> None:
    with pytest.raises(Permanent, match="not YAML: line 4, column 1") as raised:
        text_file.read(b"rules:\n- id: a\n  canary: [\n")
    assert "canary" not in str(raised.value)


@pytest.mark.parametrize("data", [b"\xff\xfe\x00", b"a: \x00", b"- \x80", b"!!python/object:os.system x", b"- !!int x"])
def test_what_is_not_yaml_is_refused(data: bytes) -> None:
    with pytest.raises(Permanent):
        text_file.read(data)


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1.0", "1e400", "9" * 5000])
def test_json_has_no_number_that_is_not_whole_and_small(number: str) -> None:
    (one,) = text_file.read(f'{{"id": "a", "priority": {number}}}'.encode())
    assert isinstance(one, dict) and isinstance(one["priority"], Other)


def test_merge_keys_that_would_grow_without_end_are_refused() -> None:
    lines = ["- &a0 {id: x}"] + [f"- &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 10)]
    with pytest.raises(Permanent, match="merge key << in line 2 is not supported"):
        text_file.read("\n".join(lines).encode())


@pytest.mark.parametrize(
    "text",
    [
        "- {id: a, description: &a " + "x" * 40_000 + "}\n" + "- {id: b, description: *a}\n" * 1000,
        "- &a0 {id: x}\n" + "".join(f"- &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 40)),
    ],
    ids=["one text a thousand times", "lists of lists"],
)
def test_aliases_that_multiply_the_text_are_too_large(text: str) -> None:
    with pytest.raises(Permanent, match="aliases make the rules file larger than 32 MiB") as refused:
        text_file.read(text.encode())
    assert refused.value.error_type == "too_large"


@pytest.mark.parametrize(
    "value", ["!!bool maybe", '!!int ""', "!!float 1", "!!set {a}", "!mine x", "!!python/object:os.system x"]
)
def test_a_tag_is_named_with_its_line(value: str) -> None:
    with pytest.raises(Permanent, match=f"the tag '{value.split()[0]}' in line 2 is not supported") as refused:
        text_file.read(f"- {{id: a,\n   priority: {value}}}\n".encode())
    assert refused.value.error_type == "parse"


def test_aliases_are_read() -> None:
    assert text_file.read(b"- {id: a, targets: &t [x]}\n- {id: b, targets: *t}\n")[1] == {"id": "b", "targets": ["x"]}


@pytest.mark.parametrize("deeper", [b"[", b"- ", b"{a: ", b'{"a":'])
def test_nesting_without_end_is_refused(deeper: bytes) -> None:
    with pytest.raises(Permanent):
        text_file.read(deeper * 100_000)


def test_rf04_text_beyond_the_cap_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_file, "LARGEST", 10)
    with pytest.raises(Permanent) as raised:
        text_file.read(b"- {id: aaaaaa}")
    assert raised.value.error_type == "too_large"


@pytest.mark.parametrize("write", [text_file.to_yaml, text_file.to_json_lines])
def test_what_is_written_is_read_back(write: Callable[..., str]) -> None:
    found = [*rules(20), rule("x", r'a!~"b\"\\c"', enabled=False, annotations={"k": "ü: #"}, description="a\nb")]
    assert [plain.read(raw) for raw in text_file.read(write(found).encode())] == found


@given(st.text() | st.binary())
def test_any_file_is_a_list_or_refused(content: str | bytes) -> None:
    data = content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    for candidate in (data, b"- " + data, b'{"' + data):
        try:
            found = text_file.read(candidate)
        except Permanent as error:
            if error.error_type != "parse":
                raise
        else:
            assert isinstance(found, list)
