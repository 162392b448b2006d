from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from alert_refresh.engine import Permanent
from alert_refresh.rules.forms import foreign
from alert_refresh.rules.forms.text_file import read

if TYPE_CHECKING:
    from collections.abc import Callable

ALERTMANAGER = {"global": {}, "route": {"receiver": "canary"}, "receivers": [{"name": "canary"}]}
ALERT = {"alert": "Down", "expr": "up == 0", "labels": {"severity": "canary"}}


@pytest.mark.parametrize("write", [yaml.safe_dump, json.dumps])
@pytest.mark.parametrize(
    ("data", "what"),
    [
        (ALERTMANAGER, "an Alertmanager configuration (it has the field route)"),
        ({"receivers": []}, "an Alertmanager configuration (it has the field receivers)"),
        ({"inhibit_rules": [], "rules": []}, "an Alertmanager configuration (it has the field inhibit_rules)"),
        ({"global": {}}, "an Alertmanager or Prometheus configuration (it has the field global)"),
        ({"global": {}, "scrape_configs": []}, "a Prometheus configuration (it has the field scrape_configs)"),
        ({"global": {}, "rule_files": ["x"]}, "a Prometheus configuration (it has the field rule_files)"),
        ({"groups": [{"name": "x"}]}, "a Prometheus file of alerting rules (it has the field groups)"),
        ({"name": "x", "rules": [ALERT]}, "a Prometheus file of alerting rules (rules[0] has the field expr)"),
        ({"rules": [ALERT]}, "a Prometheus file of alerting rules (rules[0] has the field expr)"),
        ([{"record": "x", "expr": "y"}], "a Prometheus file of alerting rules (rules[0] has the field expr)"),
        ([{"receiver": "x", "matchers": []}], "an Alertmanager configuration (rules[0] has the field receiver)"),
        ({"apiVersion": 1, "groups": []}, "a Grafana provisioning file (apiVersion is a number)"),
        ({"contactPoints": [], "apiVersion": 1}, "a Grafana provisioning file (apiVersion is a number)"),
        ({"apiVersion": "v1", "kind": "PrometheusRule"}, "a Kubernetes manifest (it has the field apiVersion)"),
    ],
)  # fmt: skip
def test_a_file_of_another_program_is_named_with_what_is_expected(
    write: Callable[..., str], data: object, what: str
) -> None:
    with pytest.raises(Permanent) as refused:
        read(write(data).encode())
    assert str(refused.value) == f"the rules file is {what}; {foreign.READ}" and refused.value.error_type == "parse"


@pytest.mark.parametrize("text", ["{{ toYaml .Values.rules }}\n", "\n {{- range .x }}\n- id: a\n{{- end }}", "{{"])
def test_a_template_that_was_not_rendered_is_named(text: str) -> None:
    with pytest.raises(Permanent) as refused:
        read(text.encode())
    what = "a template that was not rendered (it begins with {{)"
    assert str(refused.value) == f"the rules file is {what}; {foreign.READ}"


@pytest.mark.parametrize("data", [[], [5], [{"id": "a", "expr": 1, "alert": 1}], [{}], [{"expr": 1}]])
def test_what_may_be_rules_is_not_taken_for_another_program_s(data: list[object]) -> None:
    assert read(json.dumps(data).encode()) == data


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("rule:\n- id: a\n", 'holds no list of rules: "rule" is not a field of the file (line 1)'),
        ("rules: []\nversion: 1\nother: 2\n", '"version" is not a field of the file (line 2); "other" is not a field'),
        ('{"rules": [],\n"x\\n": 1}', '"x\\n" is not a field of the file (line 2)'),
        ("rules: []\n5: x\n", "a key that is not text is not a field of the file"),
        ("rules: [{id: a}]\nrules: [{id: b}]\n", '"rules" is repeated (lines 1, 2)'),
        ("x: 1\nx: 2\nrules: []\n", '"x" is repeated (lines 1, 2); "x" is not a field of the file (lines 1, 2)'),
        ("id: a\nmatch: [a=b]\n", 'holds no list of rules: "id" is not a field of the file (line 1)'),
        ("rules: {a: {}}\n", f"holds no list of rules; {foreign.READ}"),
    ],
)
def test_a_field_at_the_top_that_is_not_read_is_named_with_its_line(text: str, said: str) -> None:
    with pytest.raises(Permanent) as refused:
        read(text.encode())
    assert said in str(refused.value) and foreign.READ in str(refused.value)
