from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.alertmanager import tree
from alert_refresh.alertmanager.tree import BadYaml, Mapping, Node, Scalar, Sequence, quoted, read, text, write
from tests.alertmanager.amtool import Written

if TYPE_CHECKING:
    from pathlib import Path

AS_WRITTEN = [
    "yes", "No", "on", "y", "012", "0o17", "0x1F", "0b11", "1_000", "1e3", "-0", "+1", ".5", "1.", "1:30", "1:30:00.5",
    "2001-01-01", "2001-01-01T10:00:00Z", "2001-01-01 10:00:00", "2001-1-1  1:00:00 -05:00", ".inf", "-.INF", ".nan",
    "~", "null", "Null", "a", "team-a", "a.b", "/etc/x.tmpl", "_", "10.0.0.1:9093", "5m", "-a", "-1", "1-2", "+", "x:y",
    "http://a/b?c=d", "a b", "a#b", "=", "a'b", 'a"b', "é", "-a:b", "1 2", "a, b", "x[1]", "*.x", "%x", "2001-01-01 x",
]  # fmt: skip
"""Scalars that stand without quotes in a block; some are numbers, truths or times for some parsers."""


def lines(source: str) -> str:
    """A text of YAML, read and written again."""
    node = read(source)
    assert isinstance(node, Mapping | Sequence)
    return "".join(f"{line}\n" for line in write(node))


def value(node: Node | None) -> Any:
    """A node as values without lines; the quotes of a text are no part of it."""
    if isinstance(node, Mapping):
        return {one.text: value(item) for one, item in node.pairs}
    if isinstance(node, Sequence):
        return [value(item) for item in node.items]
    return None if node is None else (node.text, node.tag)


@pytest.mark.parametrize("scalar", [one for one in AS_WRITTEN if not one.startswith(("*", "%"))])
def test_a_scalar_without_quotes_keeps_its_meaning(scalar: str, tmp_path: Path) -> None:
    """A label's value that is read as text is what is written, whatever else it could be read as."""
    source = f"""
receivers: [{{name: default}}, {{name: taken}}]
route:
  receiver: default
  routes:
  - receiver: taken
    match:
      label: {scalar}
"""
    before, after = Written(tmp_path, source.encode()), lines(source)
    labels = [{"label": scalar}, {"label": ""}, {"label": "true"}, {"label": "10"}]
    found = [before.receivers(one) for one in labels]
    assert [Written(tmp_path, after.encode()).receivers(one) for one in labels] == found
    assert ["taken"] in found
    assert value(read(after)) == value(read(source))


@pytest.mark.parametrize(
    "source",
    [
        "a: [-, ---, .., -:x]",
        "[a: b]",
        "{a: , b: {}, c: [], d: {e: []}}",
        "- - - a\n    - b\n  - {}\n- []",
        "? a\n: b",
        "a: |\n  x\n   y\n\nb: >\n  folded\n  line\n\n  more\n",
        "a: plain\n  over\n\n  lines",
        "a: 'it''s'\nb: \"\\x01\\u00e9\\U0001F600\\n\\t\\e\\\\\"",
        "a: &x {b: 1}\nc: *x\nd: [*x, *x]",
        "%YAML 1.1\n---\na: 1\n...\n",
        "---\na: 1",
        "{a: 1, 'b': 2, \"c\": 3, 012: 4, yes: 5}",
        "{x: yes, y: 'yes', z: \"012\"}",
        "#comment\na: 1 # more\n",
        "\ufeffa: 1",
        "a: '\ud7ff\ue000\ufffd'\nb: \"\\ufeff\\u2028\\x85\\x7f\\uffff\"",
        "a: !!str 012\nb: !!int '3'\nc: ! x\nd: !!seq [1]\ne: !!map {f: 1}",
    ],
)
def test_what_is_written_again_has_the_same_meaning(source: str) -> None:
    again = lines(source)
    assert value(read(again)) == value(read(source))
    assert yaml.safe_load(again) == yaml.safe_load(source.removeprefix("\ufeff"))
    assert lines(again) == again


values = st.recursive(
    st.one_of(
        st.text(), st.sampled_from(AS_WRITTEN), st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False)
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(min_size=1), inner, max_size=3)),
    max_leaves=12,
)


@given(st.dictionaries(st.text(min_size=1), values, min_size=1, max_size=4), st.sampled_from([True, False, None]))
def test_any_values_keep_their_meaning(given_: dict[str, Any], flow: bool | None) -> None:
    source = yaml.safe_dump(given_, default_flow_style=flow, allow_unicode=True)
    again = lines(source)
    assert yaml.safe_load(again) == yaml.safe_load(source)
    assert value(read(again)) == value(read(source))


@given(st.text())
def test_any_text_can_be_quoted(given_: str) -> None:
    assert yaml.safe_load(quoted(given_)) == given_
    found = read(f"[{quoted(given_)}]")
    assert isinstance(found, Sequence)
    assert value(found) == [(given_, None)]


def test_a_merge_key_stays_and_what_comes_last_counts() -> None:
    source = "{a: {<<: {x: 1, y: 2}, x: 3}, b: {x: 3, <<: [{x: 4}, {x: 5, z: 6}]}, c: {'<<': 1}, d: {<<: 1}}"
    node = read(source)
    assert isinstance(node, Mapping)
    one, two = node.get("a"), node.get("b")
    assert isinstance(one, Mapping)
    assert isinstance(two, Mapping)
    assert [value(one.get(name)) for name in ("x", "y", "z")] == [("3", None), ("2", None), None]
    assert [value(two.get(name)) for name in ("x", "y", "z")] == [("4", None), None, ("6", None)]
    assert "  <<:\n    x: 1\n" in lines(source)
    assert '  "<<": 1\n' in lines(source)


def test_null_is_as_good_as_absent() -> None:
    node = read("{a: ~, b: , c: null, d: '~'}")
    assert isinstance(node, Mapping)
    assert [value(node.get(name)) for name in "abcd"] == [None, None, None, ("~", None)]
    assert text("~").value == "~"
    assert Scalar("~", 1, plain=True).value == ""


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("a: 1\nb: 2\na: 3", "the key in line 3 is there twice"),
        ("a: 1\n'a': 3", "the key in line 2 is there twice"),
        ("{<<: {a: 1}, <<: {b: 1}}", "the key in line 1 is there twice"),
        ("a: [1\nb: 2", "it is not YAML: line 2, column 2"),
        ("a: b: c", "it is not YAML: line 1, column 5: a colon that is followed by a blank is not allowed here"),
        ("a: 1\n---\nb: 2", "a second document begins in line 2"),
        ("a: *b", "the alias in line 1 has no anchor before it"),
        ("a: &b [*b]", "the alias in line 1 has no anchor before it, or is inside its own anchor"),
        ("a: \x01", "line 1 has a character that YAML does not allow"),
        ("a: !mine x", "the tag in line 1 is not supported"),
        ("a: !!python/name:os.system x", "the tag in line 1 is not supported"),
        ("a: !!set {b}", "the tag in line 1 is not supported"),
        ("? [a]\n: 1", "the key in line 1 is not a short text"),
        ("? !!int 3\n: 1", "the key in line 1 is not a short text"),
        (f"? {'k' * 1001}\n: 1", "the key in line 1 is not a short text"),
        ("~: 1", "the key in line 1 is empty"),
        ("[" * 101 + "]" * 101, "more than 100 nested lists and mappings in line 1"),
    ],
)
def test_what_cannot_be_used_is_named_by_line(source: str, reason: str) -> None:
    with pytest.raises(BadYaml) as caught:
        read(source)
    assert str(caught.value).startswith(reason)


def test_aliases_are_expanded_up_to_a_limit() -> None:
    layers = ["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    layers += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9)]
    with pytest.raises(BadYaml, match="its aliases make it larger than 16 MiB"):
        read("\n".join(layers))


def test_a_text_without_a_document_is_nothing() -> None:
    assert read("") is read("# only a comment\n") is None


def test_the_python_parser_does_where_there_is_no_libyaml(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "_LOADER", yaml.SafeLoader)
    assert value(read("{a: [yes, 'x']}")) == {"a": [("yes", None), ("x", None)]}
