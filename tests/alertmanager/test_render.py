from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from alert_refresh.alertmanager import render as module
from alert_refresh.alertmanager.inputs import Capabilities, Inputs, Mode
from alert_refresh.alertmanager.model import matcher_problem
from alert_refresh.alertmanager.receivers import receiver
from alert_refresh.alertmanager.render import render
from alert_refresh.alertmanager.template import MARKER
from alert_refresh.engine import Fault, Transient
from tests.alertmanager.amtool import Written, accepted
from tests.alertmanager.examples import PLAIN, configuration, rule, target, template
from tests.alertmanager.test_same_targets import OWN_ROUTES, TARGETS

if TYPE_CHECKING:
    from pathlib import Path

    from alert_refresh.alertmanager.render import Rendering
    from alert_refresh.rules.matcher import Matcher
    from alert_refresh.targets.target import Target

EXPECTED = """\
# Made by alert-refresh from the template "template.yml", publishing targets and rules.
# Changes to this file are overwritten: change the template, the Secrets of the targets, or the rules.
global:
  resolve_timeout: 5m
route:
  receiver: default
  routes:
  - matchers:
    - 'severity="critical"'
    continue: true
    routes:
    - receiver: "alert-refresh/one"
      continue: true
    - receiver: "alert-refresh/two"
      continue: true
  - matchers:
    - 'team=~"web|db"'
    - 'severity!="critical"'
    continue: true
    routes:
    - receiver: "alert-refresh/one"
      continue: true
  - receiver: default
    matchers:
    - "a=b"
receivers:
- name: default
- name: "alert-refresh/one"
  webhook_configs:
  - url: "https://hooks.example.com/services/T0/B0"
    send_resolved: true
    http_config:
      authorization:
        type: "Bearer"
        credentials: "token"
- name: "alert-refresh/two"
  slack_configs:
  - api_url: "https://hooks.example.com/services/T0/B0"
    send_resolved: true
"""
TEMPLATE = """
global: {resolve_timeout: 5m}
receivers: [{name: default}]
route: {receiver: default, routes: [{receiver: default, matchers: [a=b]}]}
"""


def example() -> Rendering:
    return configuration(
        [target("two", "slack"), target("one", headers={"Authorization": "Bearer token"})],
        [
            rule("one", 'team=~"web|db"', targets=("one",)),
            rule("two", "severity=critical", priority=1, targets=("one", "two")),
        ],
        TEMPLATE,
    )


def test_a_whole_rendering(tmp_path: Path) -> None:
    found = example()
    assert found.text.decode() == f'{EXPECTED}- name: "{MARKER}{found.digest}"\n'
    assert (found.receivers, found.routes) == (2, 3)
    assert accepted(tmp_path, found)


def test_the_unused_receiver_has_the_digest_of_all_the_rest() -> None:
    found = example()
    names = [one["name"] for one in yaml.safe_load(found.text)["receivers"]]
    assert names[-1] == f"alert-refresh:{found.digest}"
    assert example().digest == found.digest
    assert configuration(text=TEMPLATE).digest != found.digest


def test_the_order_of_the_inputs_does_not_matter() -> None:
    rules = [rule(f"r{n}", f"a{n % 3}=x", f"b=~{n}.*", targets=("one", "two", "stale")[n % 3 :]) for n in range(9)]
    texts = set()
    for seed in range(5):
        targets, some = TARGETS[:], rules[:]
        random.Random(seed).shuffle(targets)
        random.Random(seed).shuffle(some)
        texts.add(configuration(targets, some, OWN_ROUTES).text)
    assert len(texts) == 1


def test_it_says_what_made_it_and_no_time() -> None:
    head = example().text.decode().splitlines()[:2]
    assert head[0].startswith("# Made by alert-refresh from the template ")
    assert "overwritten" in head[1]
    odd = render(Inputs(template(PLAIN).__class__.read(PLAIN.encode(), 'a"\nb: c'), {}))
    assert yaml.safe_load(odd.text).keys() == {"route", "receivers"}


@pytest.mark.parametrize("mode", list(Mode))
def test_there_may_be_nothing_to_add(mode: Mode, tmp_path: Path) -> None:
    found = configuration(mode=mode)
    assert accepted(tmp_path, found)
    assert (found.receivers, found.routes, found.undeliverable, found.warnings) == (0, 0, {}, ())
    assert "routes:" not in found.text.decode()


def test_without_routes_targets_are_receivers_alone() -> None:
    found = configuration([target("one")], [rule("r", targets=("one",))], mode=Mode.NONE)
    assert (found.receivers, found.routes) == (1, 0)
    assert found.parts.keys() == {"template", "target:one"}


def test_a_stale_target_is_delivered_to_and_a_disabled_one_is_not() -> None:
    found = configuration(TARGETS)
    names = {one["name"] for one in yaml.safe_load(found.text)["receivers"]}
    assert {"alert-refresh/one", "alert-refresh/stale"} <= names
    assert "alert-refresh/off" not in names
    assert list(found.undeliverable) == ["headers"]


def test_a_disabled_rule_is_no_route_and_no_fault() -> None:
    found = configuration([target("one")], [rule("r", '"a.b"=x', targets=("one",), enabled=False)])
    assert (found.routes, found.undeliverable_rules) == (0, {})
    assert found.parts.keys() == {"template", "target:one"}


REFUSED = (Fault("url", "undeliverable: Alertmanager refuses it"),)


def test_what_alertmanager_refused_is_left_out_and_told(tmp_path: Path) -> None:
    targets = [target("one"), target("two"), target("off", enabled=False)]
    rules = [rule("r1", "a=x", targets=("one", "two")), rule("r2", "a=y", targets=("two",)), rule("r3", enabled=False)]
    found = configuration(
        targets,
        rules,
        excluded_targets=dict.fromkeys(("one", "off", "gone"), REFUSED),
        excluded_rules=dict.fromkeys(("r2", "r3", "gone"), REFUSED),
    )
    assert accepted(tmp_path, found)
    assert (found.undeliverable, found.undeliverable_rules) == ({"one": REFUSED}, {"r2": REFUSED})
    assert Written(tmp_path, found.text).receivers({"a": "x"}) == ["alert-refresh/two"]
    assert (found.receivers, found.routes) == (1, 1)
    assert found.parts.keys() == {"template", "target:one", "target:two", "rule:r1", "rule:r2"}


def test_what_the_model_refuses_has_its_own_faults_and_is_no_part() -> None:
    bad, utf8 = target("bad", url="x"), rule("utf8", '"a.b"=x')
    found = configuration([bad], [utf8], excluded_targets={"gone": REFUSED}, excluded_rules={"gone": REFUSED})
    assert [one.field for one in found.undeliverable["bad"]] == ["url"]
    assert [one.field for one in found.undeliverable_rules["utf8"]] == ["match[0]"]
    assert found.parts.keys() == {"template"}


def test_parts_tell_what_changed() -> None:
    before = configuration([target("one"), target("two")], [rule("r1", "a=x"), rule("r2", "a=y")])
    after = configuration(
        [target("one", url="https://other.example.com"), target("two")],
        [rule("r1", "a=x", description="new"), rule("r2", "a=z")],
        PLAIN.replace("default", "root"),
    )
    changed = {name for name, digest in before.parts.items() if after.parts[name] != digest}
    assert changed == {"template", "target:one", "rule:r2"}


def test_what_a_later_alertmanager_knows_is_written_for_it() -> None:
    one, utf8 = target("one", headers={"X-Team": "a"}), rule("r", '"a.b"="x"', targets=("one",))
    found = configuration([one], [utf8], capabilities=Capabilities(http_headers=True, utf8=True))
    assert (found.undeliverable, found.undeliverable_rules, found.routes) == ({}, {}, 1)
    assert yaml.safe_load(found.text)["route"]["routes"][0]["matchers"] == ['"a.b"="x"']


def test_no_credential_is_in_what_is_logged_of_it() -> None:
    assert "token" not in repr(example())


def test_an_exception_about_one_target_or_rule_is_the_fault_of_that_one_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole_receiver, whole_problem = receiver, matcher_problem

    def broken_receiver(one: Target, *rest: Any) -> Any:
        if one.name == "two":
            raise RuntimeError("canary")
        return whole_receiver(one, *rest)

    def broken_problem(matcher: Matcher, *rest: Any) -> Any:
        if matcher.name == "odd":
            raise RuntimeError("canary")
        return whole_problem(matcher, *rest)

    monkeypatch.setattr(module, "receiver", broken_receiver)
    monkeypatch.setattr(module, "matcher_problem", broken_problem)
    rules = [rule("good", "team=web", targets=("one", "two")), rule("bad", "odd=x", targets=("one",))]
    found = configuration([target("one"), target("two")], rules)
    assert list(found.undeliverable) == ["two"]
    assert list(found.undeliverable_rules) == ["bad"]
    assert b"alert-refresh/one" in found.text
    assert b"alert-refresh/two" not in found.text
    told = [record.getMessage() for record in caplog.records]
    assert told == [
        "Parsing 'two' raised an unexpected RuntimeError",
        "Parsing 'bad' raised an unexpected RuntimeError",
    ]
    assert "canary" not in caplog.text


@pytest.mark.parametrize(
    ("mode", "at"), [(Mode.RULES, 20), (Mode.RULES, 50), (Mode.RULES, 80), (Mode.FILTERS, 20), (Mode.NONE, 20)]
)
def test_a_rendering_ends_with_the_time_of_its_attempt(mode: Mode, at: int) -> None:
    """Between two targets, matchers, or targets' routes."""
    calls = 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == at:
            raise Transient("the time is over", "timeout")

    targets = [target(f"t{number}") for number in range(30)]
    rules = [rule(f"r{number}", f"a=x{number}", targets=[f"t{number}"]) for number in range(30)]
    assert configuration(targets, rules, mode=mode).receivers == 30
    with pytest.raises(Transient, match="time is over"):
        configuration(targets, rules, mode=mode, check=check)
