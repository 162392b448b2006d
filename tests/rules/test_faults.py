from __future__ import annotations

import json
import time
from typing import Any

import pytest

from alert_refresh.engine import Permanent
from alert_refresh.rules import faults as faults_module
from alert_refresh.rules.faults import every
from alert_refresh.rules.forms import plain
from alert_refresh.rules.forms.rules_file import RulesFile, demand_good
from alert_refresh.rules.forms.text_file import never
from alert_refresh.rules.rule import MOST, BadRule, check
from tests.rules.examples import rule, rules


def faults(**fields: Any) -> list[str]:
    """The invalid fields of a rule with these."""
    raw = {"id": "good"} | fields
    found = plain.read(raw)
    assert found is None or not check([found], {}).good
    (bad,) = every([raw], never)
    return [fault.field for fault in bad.faults]


def said(text: str) -> list[str]:
    """Every fault of the rules in a text, as in a message."""
    return [line for bad in RulesFile(text.encode()).rules().bad for line in bad.messages()]


@pytest.mark.parametrize(
    ("field", "value", "named"),
    [
        ("id", 5, ""), ("id", None, ""), ("id", "\ud800", ""), ("id", "", ""), ("id", "a b", ""), ("id", "a\n", ""),
        ("id", "x" * 201, ""), ("id", "status", ""),
        ("family", [], ""), ("family", "", ""), ("family", "a/b", ""),
        ("enabled", "yes", ""), ("enabled", 1, ""), ("enabled", None, ""),
        ("priority", "1", ""), ("priority", 1.0, ""), ("priority", float("nan"), ""), ("priority", True, ""),
        ("priority", 2**31, ""),
        ("match", "a=b", ""), ("match", ["a"], "[0]"), ("match", [5], "[0]"), ("match", {"a": 1}, ".a"),
        ("match", {1: "a"}, "[1]"), ("match", None, ""), ("match", ["a=b"] * (MOST + 1), ""),
        ("match", [",".join(["a=b"] * 60)] * 2, ""), ("match", {str(n): "" for n in range(MOST + 1)}, ""),
        ("match", [["a", "=", "b", "c"]], "[0]"), ("match", [["a", "==", "b"]], "[0]"),
        ("match", [["", "=", "b"]], "[0]"),
        ("match", ["\ud800=a"], "[0]"), ("match", ['a="\ud800"'], "[0]"),
        ("match", ['a=~"("'], "[0]"), ("match", ["a=b", 'a!~"(?=x)"'], "[1]"),
        ("match", ["a=b,c=d", 'a=~"\\C"'], "[1]"),
        ("match", [["a", "=~", "("]], "[0]"),
        ("match", {"not a name": "x"}, '["not a name"]'), ("match", {"": "x"}, '[""]'),
        ("match", {"a=~": "x"}, '["a=~"]'),
        ("match", {"a": "=~x.*"}, ".a"), ("match", {"a": "!=x"}, ".a"), ("match", {"a": " !~ x"}, ".a"),
        ("match", {"a": "=x"}, ".a"), ("match", [{"name": "a", "value": "b"}], "[0]"),
        ("match", [["a", "=", 5]], "[0]"),
        ("targets", "slack", ""), ("targets", [1], "[0]"), ("targets", ["x"] * (MOST + 1), ""),
        ("targets", ["good", "Bad Name"], "[1]"), ("targets", ["good", "\ud800"], "[1]"),
        ("description", 1, ""), ("description", None, ""), ("description", b"x", ""),
        ("annotations", {"a": 1}, ".a"), ("annotations", [], ""), ("annotations", {"\ud800": ""}, '["\\ud800"]'),
        ("annotations", {str(n): "" for n in range(MOST + 1)}, ""),
    ],
)  # fmt: skip
def test_rf05_a_fault_names_its_field_and_not_its_value(field: str, value: object, named: str) -> None:
    assert faults(**{field: value}) == [field + named]


OPERATORS = "=, !=, =~ or !~"


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("priority", '"5"', "in decimal digits, not text: write it without quotes"),
        ("priority", "high", "in decimal digits"),
        ("match", "{a: '=~x.*'}", 'begins with an operator; write a list of matchers, such as severity=~"crit.*"'),
        ("match", "[[a, '==', x]]", f"the second of the 3 parts, the operator, must be {OPERATORS}"),
        ("match", "[[a, '=', 5]]", "the third of the 3 parts, the value, must be text, not a number, a date or "
         "similar: write it in quotes"),
        ("match", "[[a, '=']]", f"must have 3 parts: a label name, an operator ({OPERATORS}) and a value"),
        ("match", "[{name: a, value: b}]", "not a mapping; write it as in severity=\"critical\""),
        ("match", "['sev=~\"(\"']", 'the value of "sev" must be a regular expression of up to 4096 characters, in the '
         "syntax of RE2: a parenthesis is not closed"),
        ("match", "['a=b,sev!~\"(?=x)\"']", "lookahead and lookbehind are not supported"),
        ("match", "['sev=~\"(?<!x)y\"']", "lookahead and lookbehind are not supported"),
        ("match", "['sev=~\"\\C\"']", "\\C is not supported"),
        ("match", "['sev=~\"*x\"']", "a repetition follows nothing that can be repeated"),
        ("match", "['sev=~\"[x\"']", "a bracket is not closed"),
        ("match", "[[sev, '=~', '(x)\\1']]", "an escape sequence is unknown; a reference to a group is not supported"),
    ],
)  # fmt: skip
def test_a_fault_says_which_part_is_wrong_and_what_to_write(field: str, value: str, expected: str) -> None:
    (line,) = said(f"- id: a\n  {field}: {value}\n")
    assert line.endswith(f"{expected} (line 2)")


@pytest.mark.parametrize("name", ["service.name", "größe", "1st", "a-b"])
def test_a_mapping_may_have_label_names_that_matchers_have_in_quotes(name: str) -> None:
    found = plain.read({"id": "x", "match": {name: "y"}})
    assert found is not None and [str(one) for one in found.match] == [f'"{name}"="y"']


def test_every_fault_of_every_rule_is_reported_together_with_its_line() -> None:
    text = """
rules:
- id: a
  matcher: [x=y]
  match:
  - severity="critical"
  - team=="db
  - 'host=~"("'
  targets: [Slack, pager, 5]
  priority: 1.5
- id: b c
  enabled: "yes"
  annotations: {runbook: 2001-01-01, k: null}
- 7
- id: a
- {}
- id: good
"""
    fields = "the fields are"
    assert [line.partition(fields)[0] for line in said(text)] == [
        'rules[0] (id "a").matcher: is not a field of a rule; did you mean match? (line 4)',
        'rules[0] (id "a").priority: must be a whole number from -2147483648 to 2147483647 in decimal digits (line 10)',
        'rules[0] (id "a").match[1]: column 7: expected no double quote here; within a value write \\" (line 7)',
        'rules[0] (id "a").match[2]: the value of "host" must be a regular expression of up to 4096 characters, in '
        "the syntax of RE2: a parenthesis is not closed (line 8)",
        'rules[0] (id "a").targets[0]: must be the name of a target: 1 to 63 lower-case letters, digits or -, with no '
        "- at either end (line 9)",
        'rules[0] (id "a").targets[2]: must be text, not a number, a date or similar: write it in quotes (line 9)',
        "rules[1].id: must be 1 to 200 letters, digits or ._:@- and start with a letter or digit (line 11)",
        "rules[1].enabled: must be true or false, not text (line 12)",
        "rules[1].annotations.runbook: must be text, not a number, a date or similar: write it in quotes (line 13)",
        "rules[1].annotations.k: must be text, not null (line 13)",
        "rules[2]: must be a mapping, not a number, a date or similar (line 14)",
        'rules[3] (id "a").id: is also the id of rules[0] (line 15)',
        "rules[4].id: is missing (line 16)",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- id: a\n  targets: [x]\n  targets: [y]\n", ['rules[0] (id "a").targets: REPEATED (lines 2, 3)']),
        ("rules:\n- {id: a, match: {a: b, a: c}}\n", ['rules[0] (id "a").match.a: REPEATED (line 2)']),
        ("- id: a\n  annotations:\n    k: x\n    j: y\n    k: x\n",
         ['rules[0] (id "a").annotations.k: REPEATED (lines 3, 5)']),
        ("- id: a\n- id: b\n  id: c\n  id: d\n", ['rules[1] (id "b").id: REPEATED (lines 2, 3, 4)']),
        ('[{"id": "a",\n"match": [],\n"match": ["a=b"]}]', ['rules[0] (id "a").match: REPEATED (lines 2, 3)']),
        ('{"rules": [{"id": "a"},\n{"id": "b", "match":\n{"x": "1",\n"x": "2"}}]}',
         ['rules[1] (id "b").match.x: REPEATED (lines 3, 4)']),
        ('{"id": "a"}\n\n{"id": "b", "family": "x", "family": "x"}\n', ['rules[1] (id "b").family: REPEATED (line 3)']),
        ('{"id": "a",\n"priority": 1,\n"priority": 2}', ['rules[0] (id "a").priority: REPEATED (lines 2, 3)']),
        ("- id: a\n  \"w\\e \": x\n  \"w\\e \": y\n", []),
    ],
)  # fmt: skip
def test_a_repeated_key_is_named_with_its_lines_in_every_form(text: str, expected: list[str]) -> None:
    found = [line for line in said(text) if "is repeated" in line]
    assert [line.replace("is repeated", "REPEATED") for line in found][: len(expected)] == expected
    assert found


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("matchers", "did you mean match?"),
        ("target", "did you mean targets?"),
        ("enable", "did you mean enabled?"),
        ("Priority", "did you mean priority?"),
        ("xyz", "the fields are id, family, enabled, priority, match, targets, description, annotations"),
        ("x" * 1_000_000, "the fields are"),
    ],
)
def test_an_unknown_field_is_named_with_the_nearest_right_one(name: str, hint: str) -> None:
    ((line,),) = (bad.messages() for bad in every([{"id": "a", name: 1}], never))
    assert hint in line and len(line) < 250


def test_only_what_is_wrong_of_a_rule_is_named() -> None:
    ((line,),) = (bad.messages() for bad in every([{"id": "a", "enabled": True, "priority": 1, 5.0: "x"}], never))
    assert line.startswith('rules[0] (id "a")[a key that is not text]: is not a field of a rule; the fields are id, ')


def test_foreign_text_in_a_key_is_escaped_and_cut() -> None:
    ((line,),) = (bad.messages() for bad in every([{"id": "a", "\u202e\n\x1b[31m" + "x" * 100: 1}], never))
    assert line.startswith('rules[0] (id "a")["\\u202e\\n\\u001b[31mxxx') and line.isprintable() and len(line) < 250


def test_no_message_shows_a_value() -> None:
    canary = "canary"
    raw = [
        {"id": f"{canary} id", "family": f"{canary} family", "enabled": canary, "priority": canary, "match": canary,
         "targets": f"{canary}", "annotations": canary, "description": [canary]},
        {"id": "x", "match": [f'{canary}"', f"a=~{canary}(", [canary, canary, canary], f"{canary}=", f"'{canary}"],
         "targets": [f"{canary} ", [canary]], "annotations": {"k": [canary]}},
    ]  # fmt: skip
    lines = [line for bad in every(raw, never) for line in bad.messages()]
    assert len(lines) == 15 and canary not in "".join(lines)


def test_rf05_one_bad_rule_of_a_thousand_is_named() -> None:
    found = rules(1000)
    found[617] = rule("rule-000617", 'host=~"canary-content("')
    (bad,) = every(found, never)
    (line,) = bad.messages()
    assert bad.index == 617 and line.startswith('rules[617] (id "rule-000617").match[0]: ')
    assert "canary" not in line


def test_rf05_an_id_used_twice_is_named_with_its_first_place() -> None:
    (bad,) = every([rule("a"), rule("b"), rule("a")], never)
    assert bad.messages() == ['rules[2] (id "a").id: is also the id of rules[0]']


def test_an_invalid_id_is_not_shown() -> None:
    (bad,) = every([rule("secret content here")], never)
    assert bad.id is None and "secret" not in bad.messages()[0]


def test_the_cause_names_the_first_ten_faults() -> None:
    def cause(count: int) -> str:
        with pytest.raises(Permanent) as refused:
            demand_good(RulesFile(json.dumps([{"id": f"r{n}", "enabled": 1} for n in range(count)]).encode()).rules())
        return str(refused.value)

    assert cause(1).count("must be true or false") == 1 and "more" not in cause(1)
    assert cause(10).count("must be true or false") == 10 and "more" not in cause(10)
    assert cause(12).count("must be true or false") == 10 and cause(12).endswith("; and 2 more faults")


def test_bad_rules_beyond_a_bound_are_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults_module, "MOST_BAD", 5)
    assert [bad.index for bad in every([{"id": "good"}, *[{}] * 10], never)] == [1, 2, 3, 4, 5]


def test_looking_for_faults_ends_at_the_deadline() -> None:
    with pytest.raises(TimeoutError):
        every([{}] * 1000, _late)


def test_lines_are_looked_for_of_the_first_bad_rules_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alert_refresh.rules.forms.rules_file.MOST_LOCATED", 1)
    bad: tuple[BadRule, ...] = RulesFile(b"- {}\n- {}\n").rules().bad
    assert [one.faults[0].lines for one in bad] == [(1,), ()]


def test_many_odd_fields_cost_little() -> None:
    began = time.thread_time()
    every([{f"matcher{n}": n for n in range(100_000)}], never)
    assert time.thread_time() - began < 5


def _late() -> None:
    raise TimeoutError


@pytest.mark.parametrize("text", ["- {id: a}\n", '[{"id": "a"}]', '{"id": "a"}\n{"id": "b"}\n'])
def test_rules_of_every_form_are_read_under_the_deadline(text: str) -> None:
    with pytest.raises(TimeoutError):
        RulesFile(text.encode()).rules({}, _late)
