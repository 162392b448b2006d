from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.alertmanager.filters import filters
from alert_refresh.alertmanager.inputs import Mode
from alert_refresh.engine import Fault
from alert_refresh.targets.secret.json_object import JsonObject
from tests.alertmanager.amtool import Written, accepted
from tests.alertmanager.examples import OLD, configuration, target
from tests.alertmanager.route_tree import RouteTree

if TYPE_CHECKING:
    from pathlib import Path


def matchers(**config: Any) -> list[str]:
    found, faults = filters(config, utf8=False)
    assert faults == ()
    return [str(one) for one in found]


def faults(**config: Any) -> list[str]:
    _, found = filters(config, utf8=False)
    assert {one.field for one in found} == {"filter_config"}
    return [one.message.removeprefix("undeliverable: ") for one in found]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, []),
        ({"severity": "critical"}, ['severity="critical"']),
        ({"severity": ["critical"]}, ['severity="critical"']),
        ({"severity": ["critical", "warning", "critical"]}, ['severity=~"critical|warning"']),
        ({"namespaces": ["a.b", "c-d"]}, ['namespace=~"a\\\\.b|c-d"']),
        ({"namespaces": "prod"}, ['namespace="prod"']),
        ({"labels": {"team": "web", "env": ["a+", "(b"]}}, ['team="web"', 'env=~"a\\\\+|\\\\(b"']),
        ({"labels": {"team": ""}}, ['team=""']),
        ({"labels": {}}, []),
        ({"alert_name_pattern": "Node.*"}, ['alertname=~"Node.*"']),
        ({"alert_name_pattern": "^Node"}, ['alertname=~".*(?:^Node).*"']),
        ({"alert_name_pattern": "Down$"}, ['alertname=~".*(?:Down$).*"']),
        ({"alert_name_pattern": "(?i)^node"}, ['alertname=~".*(?:(?i)^node).*"']),
        ({"alert_name_pattern": "a\\$"}, ['alertname=~"a\\\\$"']),
        ({"alert_name_pattern": "a\\\\$"}, ['alertname=~".*(?:a\\\\\\\\$).*"']),
        ({"alert_name_pattern": "Disk|^Node"}, ['alertname=~".*(?:Disk|^Node).*"']),
        ({"alert_name_pattern": "(?:^A|B)C"}, ['alertname=~".*(?:(?:^A|B)C).*"']),
        ({"alert_name_pattern": "\\ANode"}, ['alertname=~".*(?:\\\\ANode).*"']),
        ({"alert_name_pattern": "[^N$]ode"}, ['alertname=~"[^N$]ode"']),
        ({"alert_name_pattern": "[[:^alpha:]$]ode"}, ['alertname=~"[[:^alpha:]$]ode"']),
        ({"alert_name_pattern": "\\Qa^b$\\E"}, ['alertname=~"\\\\Qa^b$\\\\E"']),
        ({"severity": None, "exclude_noise": False, "min_confidence": 0}, []),
        ({"severity": "a", "namespaces": "b", "labels": {"c": "d"}, "alert_name_pattern": "e"},
         ['severity="a"', 'namespace="b"', 'c="d"', 'alertname=~"e"']),
    ],
)  # fmt: skip
def test_keys_become_matchers(config: dict[str, Any], expected: list[str]) -> None:
    assert matchers(**config) == expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"severity": 3}, "'severity' is neither a text nor a list of texts that is not empty"),
        ({"severity": []}, "'severity' is neither a text nor a list of texts that is not empty"),
        ({"severity": ["a", 1]}, "'severity' is neither a text nor a list of texts that is not empty"),
        ({"severity": ""}, "'severity' has an empty text"),
        ({"namespaces": ["a", ""]}, "'namespaces' has an empty text"),
        ({"namespaces": ["prod-*"]}, "'namespaces' has a wildcard, which would be taken as it is written"),
        ({"labels": ["a"]}, "'labels' is not a mapping of label names to values"),
        ({"labels": {"a": 1}}, "a label under 'labels' is neither a text nor a list of texts that is not empty"),
        ({"labels": {"a.b": "x"}}, "'labels': a label name with other characters than letters, digits, _ and : needs "
         "Alertmanager 0.27"),
        ({"labels": {"": "x"}}, "'labels': the label name is empty"),
        ({"alert_name_pattern": "("}, "'alert_name_pattern': it is not a regular expression: a parenthesis is not "
         "closed"),
        ({"alert_name_pattern": ""}, "'alert_name_pattern' is no text"),
        ({"alert_name_pattern": ["a"]}, "'alert_name_pattern' is no text"),
        ({"severity": "a", "labels": {"severity": "b"}}, "no alert can have what all its keys ask for"),
        ({"exclude_noise": True}, "'exclude_noise' cannot be expressed by matchers of labels"),
        ({"min_confidence": 0.8}, "'min_confidence' cannot be expressed by matchers of labels"),
        ({"severities": ["a"]}, "'severities' is no filter that Alertmanager can apply"),
        ({"a b@c": 1}, "a name that is not shown is no filter that Alertmanager can apply"),
    ],
)  # fmt: skip
def test_a_key_that_cannot_be_one_is_a_fault(config: dict[str, Any], expected: str) -> None:
    assert faults(**config) == [expected]


def test_every_key_has_its_fault() -> None:
    assert len(faults(severity=1, namespaces=[], exclude_noise=True, other=1)) == 4


def test_any_label_name_is_one_where_alertmanager_knows_it() -> None:
    found, none = filters(JsonObject(b'{"labels": {"a.b": "x"}}'), utf8=True)
    assert ([str(one) for one in found], none) == (['"a.b"="x"'], ())


def test_each_target_gets_what_its_filter_lets_through(tmp_path: Path) -> None:
    targets = [
        target("all"),
        target("critical", severity=["critical", "page"], namespaces=["prod"]),
        target("node", alert_name_pattern="^Node"),
        target("never", exclude_noise=True),
        target("off", enabled=False, exclude_noise=True),
    ]
    rendering = configuration(targets, mode=Mode.FILTERS)
    assert accepted(tmp_path, rendering)
    assert list(rendering.undeliverable) == ["never"]
    assert rendering.undeliverable["never"][0].field == "filter_config"
    assert isinstance(rendering.undeliverable["never"][0], Fault)
    written, tree = Written(tmp_path, rendering.text), RouteTree(rendering.text)
    for labels, expected in [
        ({}, ["all"]),
        ({"severity": "page", "namespace": "prod"}, ["all", "critical"]),
        ({"severity": "page", "namespace": "dev", "alertname": "NodeDown"}, ["all", "node"]),
        ({"alertname": "ANodeDown"}, ["all"]),
    ]:
        names = [f"alert-refresh/{name}" for name in expected]
        assert written.receivers(labels) == tree.receivers(labels) == names


def test_filters_are_not_looked_at_where_rules_or_nothing_decide() -> None:
    for mode in (Mode.RULES, Mode.NONE):
        rendering = configuration([target("never", exclude_noise=True)], mode=mode, capabilities=OLD)
        assert (rendering.undeliverable, rendering.receivers, rendering.routes) == ({}, 1, 0)
