"""One Secret: every shape it may have, and all faults reported together."""

from __future__ import annotations

import base64
import json

import pytest

from alert_refresh.credential import Credential
from alert_refresh.engine import Fault
from alert_refresh.targets.secret import parse as parsing
from alert_refresh.targets.secret.parse import parse_base64
from alert_refresh.targets.target import Target
from tests.targets.secret.samples import CANARY, GOOD, config, faults, good, read


def test_a_config_is_a_target() -> None:
    found = good(config(headers={"X-Team": "a"}, filter_config={"severity": ["critical"]}))
    assert (found.name, found.type, found.format) == ("team-a", "webhook", "alertmanager")
    assert found.url == Credential(GOOD["url"])
    assert found.headers == {"X-Team": Credential("a")}
    assert found.filter_config == {"severity": ["critical"]}
    assert (found.namespace, found.secret, found.shape) == ("ns", "the-secret", "config")
    assert found.stale_since is None and found.faults == ()


def test_null_headers_and_filters_are_empty() -> None:
    assert good(config(headers=None, filter_config=None)) == good(config())


def test_all_faults_are_reported_together() -> None:
    assert faults(
        {
            "config": {
                "name": "A",
                "type": "fax",
                "url": f"ftp://{CANARY}",
                "enabled": 1,
                "headers": {"a": "", "b\n": "x", "Host": "x", "c": 1},
                "filter_config": [],
            }
        }
    ) == {
        "name": ["bad_name"],
        "type": ["schema"],
        "format": ["schema"],
        "url": ["url_forbidden"],
        "enabled": ["schema"],
        "headers": ["bad_header", "bad_header", "bad_header", "schema"],
        "filter_config": ["schema"],
    }
    assert faults(config(headers=["x"])) == {"headers": ["schema"]}


def test_both_ways_to_read_a_config_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    written = [
        config(headers={"X-Team": "a"}, filter_config={"n": [1, -2.5, 1e3, None, True, "-0"]}),
        config(headers=None, filter_config=None),
        config(enabled=False),
        config(name="b-0", filter_config={"deep": [[["1e999"]]]}),
        config(filter_config={"\u00e9": "\u20ac"}),
    ]
    quick = [good(data) for data in written]
    monkeypatch.setattr(parsing, "_straight", lambda *_: None)
    slow = [good(data) for data in written]
    assert quick == slow
    assert [one.digest for one in quick] == [one.digest for one in slow]


@pytest.mark.parametrize(
    "filters",
    [
        "null", "{}", "{ }", "[]", "5", '"x"', "true", "{", '{"a": }',
        '{"a": 1}', '{"a": -0}', '{"a": 0.0}', '{"a": 1e999}', '{"a": 18446744073709551616}',
        '{"a": "x", "a": "x"}', '{"a": {"b": 1, "b": 2}}', '{"a": "\\u0022", "a": 1}', '{"a": "\\ud800"}',
        '{"a": "\\d"}', '{"a": "\\\\d"}',
        '{"a": "\x7f"}', '{"a": "\n"}', '{"a": "\u20ac"}',
        '{"a": ' * 62 + "1" + "}" * 62, '{"a": ' * 63 + "1" + "}" * 63, '{"a": ' * 64 + "1" + "}" * 64,
        '{"a": "' + "[" * 70 + '"}', '{"a": "' + "x" * 600 + '"}', '{"a": "' + "x" * 9_000 + '"}',
        "[" * 2_000, '{"a": [' + "1," * 2_000 + "1]}",
    ],
)  # fmt: skip
def test_both_ways_to_read_filters_agree(filters: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps(GOOD | {"filter_config": 0}).replace('"filter_config": 0', f'"filter_config": {filters}')
    quick = [read({"config": text.encode()}) for _ in range(2)]
    monkeypatch.setattr(parsing, "_straight", lambda *_: None)
    slow = read({"config": text.encode()})
    assert quick == [slow, slow]
    assert [getattr(one, "digest", None) for one in quick] == [getattr(slow, "digest", None)] * 2


def test_a_good_config_takes_the_straight_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "_thorough", lambda *_: pytest.fail("the thorough path was taken"))
    for data in (
        config(),
        config(headers={"X-Team": "a"}),
        config(enabled=False),
        config(filter_config={"a": [1, "\\d"]}),
    ):
        good(data)
    good({"config": json.dumps(GOOD | {"headers": {"X-Team": "\u00e9"}}, ensure_ascii=False)})


def test_base64_and_plain_values_of_a_manifest() -> None:
    encoded = base64.b64encode(json.dumps(GOOD).encode()).decode()
    plain = good(config())
    assert parse_base64({"config": encoded}, namespace="ns", secret="the-secret") == plain
    assert parse_base64({"config": "!"}, {"config": json.dumps(GOOD)}, namespace="ns", secret="the-secret") == plain
    assert parse_base64(None, {"config": json.dumps(GOOD)}, namespace="ns", secret="the-secret") == plain
    assert parse_base64({"config": 5}, namespace="ns", secret="s") == (Fault("config", "schema: is not a string"),)


def test_only_the_keys_of_the_shape_are_decoded() -> None:
    encoded = base64.b64encode(json.dumps(GOOD).encode()).decode()
    assert isinstance(parse_base64({"config": encoded, "other": "!!!"}, namespace="ns", secret="s"), Target)


def test_bad_base64_is_reported_with_the_other_faults() -> None:
    result = parse_base64({"type": "c2xhY2s=", "url": "!", "name": "QQ=="}, namespace="ns", secret="s")
    assert isinstance(result, tuple)
    assert {fault.field: fault.message.partition(":")[0] for fault in result} == {
        "url": "bad_base64",
        "name": "bad_name",
    }
    older = parse_base64({"webhook-url": "!", "format": "!"}, namespace="ns", secret="s")
    assert isinstance(older, tuple)
    assert [fault.field for fault in older] == ["webhook-url", "format"]
