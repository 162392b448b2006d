from __future__ import annotations

from contextlib import suppress
from http.client import HTTPException
from typing import TYPE_CHECKING
from urllib.request import Request, urlopen

import pytest

from alert_refresh.alertmanager.template import LARGEST, Template
from alert_refresh.engine import Permanent
from tests.alertmanager.amtool import Written, accepted
from tests.alertmanager.examples import PLAIN, configuration, rule, target, template
from tests.alertmanager.route_tree import RouteTree
from tests.alertmanager.server import Alertmanager
from tests.process.program import PATIENCE

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = """
global: &all
  resolve_timeout: 5m
  smtp_smarthost: mail.example.com:25
  smtp_from: alerts@example.com
  smtp_require_tls: no
  http_config: {follow_redirects: yes, tls_config: {ca_file: ca.crt}}
templates: ['templates/*.tmpl', "*.tmpl"]
time_intervals:
- name: nights
  time_intervals: [{times: [{start_time: "00:00", end_time: 06:00}], weekdays: ['monday:friday'], years: [2026]}]
inhibit_rules:
- {source_matchers: [severity="critical"], target_matchers: [severity="warning"], equal: [alertname]}
route:
  receiver: default
  group_by: [alertname, &name namespace]
  routes:
  - matchers: ["team=\\"web\\"", env!=dev]
    receiver: web
    mute_time_intervals: [nights]
    <<: {group_wait: 10s, repeat_interval: 1h30m, group_by: [*name]}
  - {match: {code: 012, on: yes}, receiver: web, continue: true}
receivers:
- name: default
- name: web
  email_configs:
  - to: web@example.com
    headers: {Subject: '{{ .CommonLabels.alertname }}: "x"'}
  webhook_configs: [{url: 'http://localhost:9/x', max_alerts: 0x10}]
"""


def faults(text: str) -> str:
    """Why a template cannot be used."""
    with pytest.raises(Permanent) as caught:
        template(text)
    assert caught.value.error_type == "validate"
    prefix = "the template template.yml cannot be used: "
    assert str(caught.value).startswith(prefix)
    return str(caught.value).removeprefix(prefix)


def test_everything_in_a_template_is_kept(tmp_path: Path) -> None:
    before, after = Written(tmp_path, WHOLE.encode()), configuration(text=WHOLE)
    assert before.accepted(), before.why()
    said = before.why()
    written = Written(tmp_path, after.text)
    assert written.accepted(), written.why()
    assert written.why().replace("3 receivers", "2 receivers") == said
    for labels, receivers in [
        ({"team": "web", "env": "prod"}, ["web"]),
        ({"team": "web", "env": "dev"}, ["default"]),
        ({"code": "012", "on": "yes"}, ["web"]),
        ({"code": "10", "on": "true"}, ["default"]),
    ]:
        assert written.receivers(labels) == receivers


def test_what_alertmanager_refuses_in_a_template_is_not_decided_here(tmp_path: Path) -> None:
    assert "field x not found" in Written(tmp_path, configuration(text=f"{PLAIN}x: 1").text).why()


def test_the_routes_of_the_template_come_after_ours_and_get_every_alert(tmp_path: Path) -> None:
    text = PLAIN.replace("default}", "default, routes: [{receiver: default, matchers: [a=x]}]}", 1)
    rendering = configuration([target()], [rule("all", targets=("team-a",))], text)
    assert accepted(tmp_path, rendering)
    tree = RouteTree(rendering.text)
    assert tree.receivers({"a": "x"}) == ["alert-refresh/team-a", "default"]
    assert tree.receivers({}) == ["alert-refresh/team-a"]


def test_a_root_route_may_be_merged(tmp_path: Path) -> None:
    text = """
receivers: [{name: default}, {<<: {name: second}}]
route:
  <<: {receiver: default, routes: [{receiver: second, matchers: [a=x]}]}
"""
    rendering = configuration([target()], [rule("all", "b=y", targets=("team-a",))], text)
    assert accepted(tmp_path, rendering)
    written = Written(tmp_path, rendering.text)
    assert written.receivers({"a": "x", "b": "y"}) == ["alert-refresh/team-a", "second"]
    assert written.receivers({}) == ["default"]


def test_relative_paths_stay_as_they_are() -> None:
    assert "- templates/*.tmpl\n" in configuration(text=WHOLE).text.decode().replace('"', "")
    assert "ca_file: ca.crt\n" in configuration(text=WHOLE).text.decode()


@pytest.mark.parametrize("named", ["team-a", "gone", "off", "Not a name"])
def test_a_route_may_name_a_target(named: str, tmp_path: Path) -> None:
    text = f"""
route: {{receiver: default, routes: [{{receiver: 'alert-refresh/{named}', matchers: [a=x]}}]}}
receivers: [{{name: default}}]
"""
    rendering = configuration([target("team-a"), target("off", enabled=False)], text=text)
    assert accepted(tmp_path, rendering)
    assert Written(tmp_path, rendering.text).receivers({"a": "x"}) == [f"alert-refresh/{named}"]
    why = {"gone": "there is no such target", "off": "it is disabled", "Not a name": "there is no such target"}
    expected = f'a route of the template names "alert-refresh/{named}", which delivers nothing: '
    assert rendering.warnings == ((expected + why[named],) if named in why else ())
    assert rendering.receivers == 1


def test_the_warning_says_that_a_target_is_undeliverable() -> None:
    text = "route: {receiver: alert-refresh/team-a}"
    [warning] = configuration([target(headers={"X": "y"})], text=text).warnings
    assert warning.endswith("which delivers nothing: it is undeliverable")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "it is empty"),
        ("# nothing\n", "it is empty"),
        ("- a", "line 1 is not a mapping"),
        ("text", "line 1 is not a mapping"),
        ("receivers: []", "line 1: there is no root route: expected route, a mapping"),
        ("receivers: []\nroute:", "line 1: there is no root route: expected route, a mapping"),
        ("receivers: []\nroute: default", "line 2: there is no root route: expected route, a mapping"),
        ("receivers: []\nroute: {group_by: [a]}", "line 2: the root route has no receiver"),
        ("receivers: []\nroute: {receiver: }", "line 2: the root route has no receiver"),
        ("receivers: []\nroute: {receiver: [a]}", "line 2: the root route has no receiver"),
        ("route: {receiver: a}", "line 1: the receiver of a route is not defined"),
        (f"{PLAIN}x: 1\nx: 2", "the key in line 4 is there twice"),
        ("route: {receiver: d}\nreceivers:\n- name: d\n- name: d", "line 4: a receiver has the name of an earlier one"),
        ("route: {receiver: d}\nreceivers: [{name: d}, {}]", "line 2: a receiver has no name"),
        ("route: {receiver: d}\nreceivers: [{name: d}, {name: ~}]", "line 2: a receiver has no name"),
        ("route: {receiver: d}\nreceivers: [{name: d}, x]", "line 2: an item of receivers is not a mapping"),
        ("route: {receiver: d}\nreceivers: [{name: d}, ~]", "line 2: an item of receivers is empty"),
        ("route: {receiver: d}\nreceivers: d", "line 2: receivers is not a list"),
        ("route: {receiver: d}\nreceivers:\n- name: d\n- name: alert-refresh/x",
         "line 4: a receiver's name begins with alert-refresh/ or alert-refresh:, as only those made here do"),
        ("route: {receiver: d}\nreceivers:\n- name: d\n- name: alert-refresh:x",
         "line 4: a receiver's name begins with alert-refresh/ or alert-refresh:, as only those made here do"),
        ("route: {receiver: d, routes: [{receiver: e}]}\nreceivers: [{name: d}]",
         "line 1: the receiver of a route is not defined"),
        ("route: {receiver: d, routes: [{routes: [{receiver: 'alert-refresh:e'}]}]}\nreceivers: [{name: d}]",
         "line 1: the receiver of a route is not defined"),
        ("route: {receiver: d, routes: x}\nreceivers: [{name: d}]", "line 1: routes is not a list"),
        ("route: {receiver: d, routes: [x]}\nreceivers: [{name: d}]", "line 1: an item of routes is not a mapping"),
        (f"{PLAIN[:-1]}\ninhibit_rules:\n-", "line 4: an item of inhibit_rules is empty"),
        ("route: {receiver: d}\nreceivers:\n- name: d\n  slack_configs:\n  -",
         "line 5: an item of a list of a receiver is empty"),
        ("route: {receiver: d}\nreceivers:\n- name: d\n  <<: {webhook_configs: [~]}",
         "line 4: an item of a list of a receiver is empty"),
        (f"{PLAIN}global:\n  http_config:\n", "line 4: global.http_config is empty; leave it out"),
        ("a: [", "it is not YAML: line 2, column 1"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_template_is_named_by_line(text: str, expected: str) -> None:
    assert expected in faults(text)


@pytest.mark.parametrize(
    "text",
    [
        "global:\n  http_config:\nroute: {receiver: d}\nreceivers: [{name: d, webhook_configs: [{url: 'http://x/'}]}]\n",
        "route: {receiver: d}\nreceivers:\n- {name: d, slack_configs: [~]}\n",
        "inhibit_rules:\n-\nroute: {receiver: d}\nreceivers:\n- name: d\n",
    ],
)
def test_what_would_end_the_process_of_alertmanager_is_refused_here(text: str, tmp_path: Path) -> None:
    with Alertmanager(tmp_path) as alertmanager:
        alertmanager.file.write_text(text)
        with suppress(HTTPException, OSError):
            urlopen(Request(f"{alertmanager.url}/-/reload", method="POST"), timeout=PATIENCE).close()
        assert alertmanager.process.wait(PATIENCE) == 2
    assert "empty" in faults(text)


def test_empty_lists_and_sections_that_alertmanager_loads_are_kept(tmp_path: Path) -> None:
    text = (
        "global: {}\ninhibit_rules:\nroute: {receiver: d}\nreceivers: [{name: d, slack_configs: , email_configs: []}]\n"
    )
    assert accepted(tmp_path, configuration(text=text))


def test_only_the_first_faults_are_named() -> None:
    assert faults("route: {receiver: d}\nreceivers:\n- name: d\n" + "- x\n" * 30).endswith("not a mapping; and 10 more")


def test_no_fault_shows_a_value() -> None:
    text = "route: {receiver: hunter2}\nreceivers: [{name: [hunter2]}, hunter2, {name: alert-refresh/hunter2}]"
    assert "hunter2" not in faults(text)
    assert "hunter2" not in faults("hunter2: [}")


def test_a_template_is_utf_8_and_not_too_large() -> None:
    assert Template.read(b"\xef\xbb\xbf" + PLAIN.encode(), "x").name == "x"
    for data, reason in [(b"a: 1\nb: \xff", "line 2 is not UTF-8"), (b"#" * (LARGEST + 1), "it is larger than 4 MiB")]:
        with pytest.raises(Permanent, match=f"the template x cannot be used: {reason}"):
            Template.read(data, "x")


def test_the_digest_is_that_of_the_content() -> None:
    assert template(PLAIN).digest == Template.read(PLAIN.encode(), "other").digest != template(f"{PLAIN}#").digest
