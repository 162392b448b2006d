from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from alert_refresh.alertmanager.inputs import UNKNOWN
from alert_refresh.engine import Fault
from tests.alertmanager.amtool import accepted
from tests.alertmanager.examples import ALL, OLD, PLAIN, URL, configuration, target

if TYPE_CHECKING:
    from pathlib import Path

    from alert_refresh.alertmanager.inputs import Capabilities
    from alert_refresh.targets.target import Target

PAGERDUTY = "https://events.pagerduty.com/v2/enqueue"


def receiver(one: Target, text: str = PLAIN, capabilities: Capabilities = ALL) -> dict[str, Any]:
    """What is written for a target but its name."""
    rendering = configuration([one], text=text, capabilities=capabilities)
    assert rendering.undeliverable == {}
    [found] = [
        item for item in yaml.safe_load(rendering.text)["receivers"] if item["name"] == f"alert-refresh/{one.name}"
    ]
    del found["name"]
    [(kind, [config])] = found.items()
    assert config.pop("send_resolved") is True
    return {kind: config}


def faults(one: Target, capabilities: Capabilities = ALL) -> list[str]:
    """The faults of a target's delivery, all of which are of its headers."""
    [found] = configuration([one], capabilities=capabilities).undeliverable.values()
    assert all(fault.field == "headers" for fault in found)
    return [fault.message.removeprefix("undeliverable: ") for fault in found]


def authorized(value: str, text: str = PLAIN) -> dict[str, Any]:
    config: dict[str, Any] = receiver(target(headers={"authorization": value}), text)["webhook_configs"]["http_config"]
    return config


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        ("webhook", {"webhook_configs": {"url": URL}}),
        ("rootly", {"webhook_configs": {"url": URL}}),
        ("slack", {"slack_configs": {"api_url": URL}}),
    ],
)
def test_each_type_has_its_receiver(type_: str, expected: dict[str, Any], tmp_path: Path) -> None:
    assert receiver(target(type_=type_)) == expected
    assert accepted(tmp_path, configuration([target(type_=type_)]))


@pytest.mark.parametrize("header", ["routing-key", "X-Routing-Key", "x-routing-key"])
def test_pagerduty_takes_its_key_from_a_header_and_its_own_url_only_if_it_is_another(
    header: str, tmp_path: Path
) -> None:
    default = target(type_="pagerduty", url=PAGERDUTY, headers={header: "R0"})
    other = target(type_="pagerduty", headers={header: "R0"})
    assert receiver(default) == {"pagerduty_configs": {"routing_key": "R0"}}
    assert receiver(other) == {"pagerduty_configs": {"routing_key": "R0", "url": URL}}
    assert accepted(tmp_path, configuration([default]))
    assert accepted(tmp_path, configuration([other]))


@pytest.mark.parametrize("url", ["https://relay.example.com/pd", PAGERDUTY, ""])
def test_the_templates_own_url_for_pagerduty_takes_no_target_elsewhere(url: str, tmp_path: Path) -> None:
    one = target(type_="pagerduty", url=PAGERDUTY, headers={"routing-key": "R0"})
    text = f"global: {{pagerduty_url: {url}}}\n{PLAIN}"
    assert receiver(one, text) == {"pagerduty_configs": {"routing_key": "R0", "url": PAGERDUTY}}
    assert accepted(tmp_path, configuration([one], text=text)), "also where that of the template is empty"


def test_two_names_for_the_same_routing_key_do_no_harm() -> None:
    both = target(type_="pagerduty", url=PAGERDUTY, headers={"routing-key": "R0", "X-Routing-Key": "R0"})
    assert receiver(both) == {"pagerduty_configs": {"routing_key": "R0"}}


def test_a_routing_key_is_a_header_like_any_other_elsewhere() -> None:
    assert receiver(target(headers={"X-Routing-Key": "R0"}))["webhook_configs"]["http_config"] == {
        "http_headers": {"X-Routing-Key": {"secrets": ["R0"]}}
    }


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Bearer abc", {"authorization": {"type": "Bearer", "credentials": "abc"}}),
        (" Token   a b ", {"authorization": {"type": "Token", "credentials": "a b"}}),
        ("GenieKey 'x\": {}\\", {"authorization": {"type": "GenieKey", "credentials": "'x\": {}\\"}}),
        ("Basic dXNlcjpwYTpzcw==", {"basic_auth": {"username": "user", "password": "pa:ss"}}),
        ("bAsIc OnDDpA==", {"basic_auth": {"username": "", "password": "pä"}}),
        ("Basic dXNlcjo=", {"basic_auth": {"username": "user", "password": ""}}),
    ],
)
def test_authorization_is_what_alertmanager_makes_the_same_header_of(
    value: str, expected: dict[str, Any], tmp_path: Path
) -> None:
    assert authorized(value) == expected
    assert accepted(tmp_path, configuration([target(headers={"Authorization": value})]))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("abc", "Authorization has no scheme before its credentials, such as Bearer"),
        ("Bearer ", "Authorization has no scheme before its credentials, such as Bearer"),
        ("Basic user:password", "Authorization is Basic, but what follows is not base64 of username:password in UTF-8"),
        ("Basic dXNlcg==", "Authorization is Basic, but what follows is not base64 of username:password in UTF-8"),
        ("Basic Ov8=", "Authorization is Basic, but what follows is not base64 of username:password in UTF-8"),
        ("Basic dTpwIA==", "the password of Basic begins or ends with a blank, which Alertmanager removes"),
    ],
)
def test_an_authorization_that_cannot_be_sent_is_a_fault(value: str, expected: str) -> None:
    assert faults(target(headers={"Authorization": value})) == [expected]


def test_other_headers_need_an_alertmanager_that_knows_them() -> None:
    one = target(headers={"X-B": "2", "x-a": "1", "Authorization": "Bearer x"})
    assert receiver(one)["webhook_configs"]["http_config"] == {
        "authorization": {"type": "Bearer", "credentials": "x"},
        "http_headers": {"X-B": {"secrets": ["2"]}, "x-a": {"secrets": ["1"]}},
    }
    assert faults(one, OLD) == ["this Alertmanager knows no http_config.http_headers; only Authorization can be sent"]


def test_while_no_alertmanager_has_told_what_it_knows_other_headers_are_not_said_to_be_unknown_to_it() -> None:
    [fault] = faults(target(headers={"X-B": "2"}), UNKNOWN)
    assert fault.startswith("it is not known yet whether this Alertmanager knows http_config.http_headers")
    assert receiver(target(headers={"Authorization": "Bearer x"}), capabilities=UNKNOWN)


@pytest.mark.parametrize("value", ["application/json", "Application/JSON; charset=UTF-8"])
def test_the_content_type_that_alertmanager_sends_anyway_is_no_header(value: str) -> None:
    assert receiver(target(headers={"content-type": value}), capabilities=OLD) == {"webhook_configs": {"url": URL}}


def test_all_faults_of_a_target_are_told_and_no_value() -> None:
    one = target(url="ftp://hunter2", headers={"Authorization": "hunter2", "Host": "hunter2", "X": "hunter2\n"})
    found = configuration([one]).undeliverable["team-a"]
    assert [fault.field for fault in found] == ["headers", "url", "headers", "headers", "headers"]
    assert "hunter2" not in str(found)
    assert isinstance(found[0], Fault)


GLOBAL = (
    PLAIN
    + """
global:
  http_config: &c
    proxy_url: http://proxy:3128
    authorization: {credentials: inherited}
    tls_config: {insecure_skip_verify: yes}
"""
)


def test_what_a_receiver_would_inherit_is_written_beside_its_own(tmp_path: Path) -> None:
    kept = {"proxy_url": "http://proxy:3128", "tls_config": {"insecure_skip_verify": True}}
    assert receiver(target(), GLOBAL) == {"webhook_configs": {"url": URL}}
    assert authorized("Token x", GLOBAL) == {**kept, "authorization": {"type": "Token", "credentials": "x"}}
    assert authorized("Basic dTpw", GLOBAL) == {**kept, "basic_auth": {"username": "u", "password": "p"}}
    assert accepted(tmp_path, configuration([target(headers={"Authorization": "Basic dTpw"})], text=GLOBAL))


def test_inherited_headers_are_kept_where_the_target_has_no_such_header() -> None:
    text = PLAIN + "global: {http_config: {<<: {http_headers: {x-a: {values: [inherited]}, X-C: {values: [c]}}}}}"
    assert receiver(target(headers={"X-A": "1"}), text)["webhook_configs"]["http_config"] == {
        "http_headers": {"X-A": {"secrets": ["1"]}, "X-C": {"values": ["c"]}}
    }
    assert authorized("Bearer x", text)["http_headers"] == {"x-a": {"values": ["inherited"]}, "X-C": {"values": ["c"]}}
