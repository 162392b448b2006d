"""One Secret: every shape it may have, and every fault told at once."""

from __future__ import annotations

import base64
import copy
import json
from typing import Any

import pytest

from alert_refresh.credential import Credential
from alert_refresh.engine import Fault
from alert_refresh.targets.secret import json_limits as limits
from alert_refresh.targets.secret import parse as parsing
from alert_refresh.targets.secret.parse import parse, parse_base64
from alert_refresh.targets.target import Target, as_config

GOOD: dict[str, Any] = {
    "name": "team-a",
    "type": "webhook",
    "url": "https://hooks.example.com/services/canary-4f1c",
    "format": "alertmanager",
}
CANARY = "canary-4f1c"


def read(data: dict[str, Any], *, deny_private: bool = False, secret: str = "the-secret") -> Target | tuple[Fault, ...]:
    """Parse a Secret whose values are text, bytes, or become JSON."""
    values = {
        key: value
        if isinstance(value, bytes)
        else value.encode()
        if isinstance(value, str)
        else json.dumps(value).encode()
        for key, value in data.items()
    }
    return parse(values, namespace="ns", secret=secret, deny_private=deny_private)


def good(data: dict[str, Any], **options: Any) -> Target:
    result = read(data, **options)
    assert isinstance(result, Target), result
    return result


def faults(data: dict[str, Any], **options: Any) -> dict[str, list[str]]:
    """The code words of the faults by field."""
    result = read(data, **options)
    assert isinstance(result, tuple), result
    found: dict[str, list[str]] = {}
    for fault in result:
        assert CANARY not in fault.message
        found.setdefault(fault.field, []).append(fault.message.partition(":")[0])
    return found


def config(**changes: Any) -> dict[str, Any]:
    return {"config": {key: value for key, value in (GOOD | changes).items() if value is not ...}}


def test_a_config_is_a_target() -> None:
    found = good(config(headers={"X-Team": "a"}, filter_config={"severity": ["critical"]}))
    assert (found.name, found.type, found.format) == ("team-a", "webhook", "alertmanager")
    assert found.url == Credential(GOOD["url"])
    assert found.headers == {"X-Team": Credential("a")}
    assert found.filter_config == {"severity": ["critical"]}
    assert (found.namespace, found.secret, found.shape) == ("ns", "the-secret", "config")
    assert found.stale_since is None and found.faults == ()


def test_enabled_is_true_when_absent_and_false_stays_false() -> None:
    assert good(config()).enabled is True
    assert good(config(enabled=False)).enabled is False


@pytest.mark.parametrize("value", ["false", "true", 0, 1, None, []])
def test_s17_enabled_is_a_boolean_and_nothing_like_one(value: Any) -> None:
    assert faults(config(enabled=value)) == {"enabled": ["schema"]}


@pytest.mark.parametrize(
    ("field", "meant"),
    [
        ("enable", "enabled"),
        ("filters", "filter_config"),
        ("filter_conf", "filter_config"),
        ("URL", "url"),
        ("webhookUrl", "url"),
        ("header", "headers"),
        ("Format", "format"),
    ],
)
def test_s17_an_unknown_field_is_named_with_the_nearest_right_one(field: str, meant: str) -> None:
    [fault] = read(config(**{field: CANARY}))  # type: ignore[misc]
    assert fault == Fault(field, f"unknown_field: is no field of a target; did you mean '{meant}'?")


@pytest.mark.parametrize("field", ["note", "expires", "x_y"])
def test_s17_an_unknown_field_that_resembles_none_is_told_all_of_them(field: str) -> None:
    [fault] = read(config(**{field: {"deep": [1, 2]}}))  # type: ignore[misc]
    known = "name, type, url, format, enabled, headers, filter_config"
    assert fault == Fault(field, f"unknown_field: is no field of a target; known are {known}")


def test_s17_many_unknown_fields_are_counted() -> None:
    found = read(config(**{f"zz{n}": 1 for n in range(30)}))
    assert isinstance(found, tuple) and len(found) == 21
    assert found[-1] == Fault("config", "unknown_field: 10 more are no field of a target")


@pytest.mark.parametrize("field", ["https://hooks.example.com/x", "x" * 65, "two words", "a\nb"])
def test_a_field_that_may_be_a_credential_is_not_shown(field: str) -> None:
    [fault] = read(config(**{field: 1}))  # type: ignore[misc]
    assert fault.field == "a name that is not shown"
    assert field not in fault.message


def test_a_field_that_is_not_ascii_is_escaped() -> None:
    [fault] = read(config(naнe=1))  # type: ignore[misc]
    assert fault.field == "na\\u043de"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"name": "a", // mine\n}', "line 1, column 15: expected a key in double quotes; JSON has no comments"),
        ('{"a": 1,\n# mine\n}', "line 2, column 1: expected a key in double quotes; JSON has no comments"),
        (
            '{"a": 1,\n}',
            "line 2, column 1: expected a key in double quotes; a comma is not allowed before a closing bracket",
        ),
        ('{"a": [1,]}', "line 1, column 10: expected a value; a comma is not allowed before a closing bracket"),
        (
            "{'a': 1}",
            'line 1, column 2: expected a key in double quotes or "}"; '
            "JSON has no other quotation marks than double ones",
        ),
        ('{"a": NaN}', "line 1, column 7: expected a value; JSON has neither NaN nor Infinity"),
        ('{"NaN": [1,\n -Infinity]}', "line 2, column 2: expected a value; JSON has neither NaN nor Infinity"),
        (
            '{"a": yes}',
            "line 1, column 7: expected a value; only true, false and null are words without quotation marks",
        ),
        ("{a: 1}", 'line 1, column 2: expected a key in double quotes or "}"; only true, false and null are words'),
        ('{"a" 1}', "line 1, column 6: expected a colon"),
        ('{"a": 1 "b": 2}', 'line 1, column 9: expected a comma or "}"'),
        ('{"a": {"x": 1} "b": 2}', 'line 1, column 16: expected a comma or "}"'),
        ("[1 2]", 'line 1, column 4: expected a comma or "]"'),
        ("[", 'line 1, column 2: expected a value or "]"; the text ends early'),
        ('{"a": 1', 'line 1, column 8: expected a comma or "}"; the text ends early'),
        ('{"a": 1}\n{"b": 2}', "line 2, column 1: expected the end of the text"),
        ('{"a": "x', "line 1, column 7: the string that begins here does not end"),
        ('{"a": "x\ny"}', "line 1, column 9: a line end, tab or other control character in a string must be escaped"),
        ('{"a": "\\x"}', "line 1, column 8: a backslash must begin one of the escapes of JSON"),
        ('{"a": 2025-11-25}', 'line 1, column 11: expected a comma or "}"'),
        ("name: a", "line 1, column 1: expected a value; only true, false and null are words"),
        (",", "line 1, column 1: expected a value"),
    ],
)
@pytest.mark.parametrize("shape", ["config", "target.json"])
def test_json_that_is_malformed_is_told_with_its_place_and_what_was_expected(text: str, said: str, shape: str) -> None:
    [fault] = read({shape: text})  # type: ignore[misc]
    assert fault.field == shape
    assert fault.message.startswith(f"schema: is not valid JSON: {said}"), fault.message


@pytest.mark.parametrize("shape", ["config", "target.json", "target"])
@pytest.mark.parametrize("times", [1, 2])
def test_json_that_is_still_base64_is_told(shape: str, times: int) -> None:
    text = json.dumps(GOOD).encode()
    for _ in range(times):
        text = base64.b64encode(text)
    [fault] = read({shape: text})  # type: ignore[misc]
    assert (fault.field, "encoded twice" in fault.message) == (shape, True)


@pytest.mark.parametrize(("key", "value"), [("url", GOOD["url"]), ("type", "slack"), ("format", "slack\n")])
def test_a_flat_value_that_is_still_base64_is_told(key: str, value: str) -> None:
    data = {"type": "slack", "url": GOOD["url"], "format": "slack"} | {key: base64.b64encode(value.encode()).decode()}
    [fault] = read(data)  # type: ignore[misc]
    assert (fault.field, "encoded twice" in fault.message) == (key, True)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n"])
@pytest.mark.parametrize("key", ["url", "type", "name", "api_key", "enabled"])
def test_a_flat_value_that_ends_with_a_line_end_is_named_and_nothing_else_is(key: str, end: str) -> None:
    good_one = {"type": "slack", "url": GOOD["url"], "name": "a", "api_key": "k", "enabled": "true"}
    assert faults(good_one | {key: good_one[key] + end}) == {key: ["line_end"]}


@pytest.mark.parametrize("key", ["webhook-url", "token", "header-X", "alert-name-pattern"])
def test_an_older_value_that_ends_with_a_line_end_is_named(key: str) -> None:
    good_one = {"webhook-url": GOOD["url"], "token": "t", "header-X": "x", "alert-name-pattern": "^a"}
    assert faults(good_one | {key: good_one[key] + "\n"}) == {key: ["line_end"]}


def test_json_and_lists_may_end_with_a_line_end() -> None:
    assert good({"config": json.dumps(GOOD) + "\n"}) == good(config())
    flat = {"type": "slack", "url": GOOD["url"], "headers": "A: 1\n", "filter_config": "{}\n"}
    assert good(flat).headers == {"A": Credential("1")}
    assert good({"webhook-url": GOOD["url"], "filter-severity": "a,b\n"}).filter_config == {"severity": ["a", "b"]}


@pytest.mark.parametrize(
    ("change", "field"),
    [({"name": "a\n"}, "name"), ({"url": GOOD["url"] + "\n"}, "url"), ({"headers": {"A": "x\r\n"}}, "headers")],
)
def test_a_string_in_json_that_ends_with_a_line_end_is_told(change: dict[str, Any], field: str) -> None:
    [fault] = read(config(**change))  # type: ignore[misc]
    assert fault.field == field and "ends with a line end" in fault.message


@pytest.mark.parametrize(
    ("value", "hint"), [("slack\n", "it ends with a line end"), ("Slack", "lower case"), (" slack", "without blanks")]
)
def test_a_type_that_is_almost_right_is_told_what_is_wrong(value: str, hint: str) -> None:
    found = read(config(type=value, format="slack"))
    assert isinstance(found, tuple) and hint in found[0].message


@pytest.mark.parametrize(
    ("key", "near"),
    [
        ("config.json", "config"),
        ("Config", "config"),
        ("config.yaml", "config"),
        ("target.yaml", "target"),
        ("targets.json", "target"),
        ("CONFIG_JSON", "config"),
    ],
)
def test_a_secret_without_a_key_that_is_read_is_told_which_are(key: str, near: str) -> None:
    [fault] = read({key: json.dumps(GOOD)})  # type: ignore[misc]
    assert fault.field == "config"
    assert f"key '{key}' is not read, did you mean '{near}" in fault.message
    assert "config, target.json, target; or url and type; or webhook-url and target-name" in fault.message
    encoded = parse_base64({key: "e30="}, namespace="ns", secret="s")
    assert encoded == (fault,)


def test_a_secret_with_nothing_like_a_key_that_is_read_is_told_which_are() -> None:
    [fault] = read({"tls.crt": "x", "password": CANARY})  # type: ignore[misc]
    assert fault.message.startswith("missing_config: has none of the keys that are read: config,")


@pytest.mark.parametrize(
    ("data", "key", "near"),
    [
        ({"type": "slack", "url": GOOD["url"], "api-key": "k"}, "api-key", "api_key"),
        ({"type": "slack", "url": GOOD["url"], "enable": "false"}, "enable", "enabled"),
        ({"type": "slack", "url": GOOD["url"], "filters": "{}"}, "filters", "filter_config"),
        ({"webhook-url": GOOD["url"], "filter-severities": "x"}, "filter-severities", "filter-severity"),
        ({"webhook-url": GOOD["url"], "auth_header": "x"}, "auth_header", "auth-header"),
    ],
)
def test_an_unknown_key_beside_flat_or_older_ones_is_a_fault(data: dict[str, Any], key: str, near: str) -> None:
    [fault] = read(data)  # type: ignore[misc]
    assert fault.field == key
    assert fault.message.startswith("unknown_field: ") and f"did you mean '{near}'?" in fault.message


def test_keys_beside_the_one_that_holds_json_are_no_fields() -> None:
    assert good(config() | {"enable": "x", "ca.crt": b"\xff"}) == good(config())


@pytest.mark.parametrize("type_", [..., "fax", 5])
def test_a_format_that_nobody_wrote_is_not_blamed(type_: Any) -> None:
    data = {"url": GOOD["url"]} | ({} if type_ is ... else {"type": type_})
    assert faults(data) == {"type": ["schema"]}


def test_null_headers_and_filters_are_none_at_all() -> None:
    assert good(config(headers=None, filter_config=None)) == good(config())


@pytest.mark.parametrize("key", ["target.json", "target"])
def test_the_same_json_under_other_keys_may_call_its_filters_filters(key: str) -> None:
    found = good({key: GOOD | {"filters": {"severity": "critical"}}})
    assert found.shape == key
    assert found.filter_config == {"severity": "critical"}
    both = good({key: GOOD | {"filters": {"a": 1}, "filter_config": {"b": 1}}})
    assert both.filter_config == {"b": 1}


def test_flat_keys() -> None:
    found = good(
        {
            "name": "team-a",
            "type": "webhook",
            "url": GOOD["url"],
            "format": "alertmanager",
            "enabled": "False",
            "headers": '{"X-Team": "a"}',
            "api_key": "key",
            "routing-key": "route",
            "filter_config": '{"severity": ["critical"]}',
        }
    )
    assert found.shape == "flat"
    assert found.enabled is False
    assert {name: value.reveal() for name, value in found.headers.items()} == {
        "X-Team": "a",
        "Authorization": "Bearer key",
        "X-Routing-Key": "route",
    }
    assert found.filter_config == {"severity": ["critical"]}


def test_flat_keys_have_defaults() -> None:
    found = good({"type": "slack", "url": GOOD["url"]})
    assert (found.name, found.format, found.enabled) == ("the-secret", "slack", True)
    assert good({"type": "webhook", "url": GOOD["url"], "auth_token": "t"}).headers == {
        "Authorization": Credential("Bearer t")
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1,b=x=y", {"a": "1", "b": "x=y"}),
        ("A: 1\nB: http://x:1/?a=b\n", {"A": "1", "B": "http://x:1/?a=b"}),
        ("A: 1\r\nB: 2", {"A": "1", "B": "2"}),
        ('{"A": "1"}', {"A": "1"}),
        ("  \n", {}),
    ],
)
def test_flat_headers_have_three_notations(text: str, expected: dict[str, str]) -> None:
    found = good({"type": "webhook", "url": GOOD["url"], "headers": text})
    assert {name: value.reveal() for name, value in found.headers.items()} == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("just words", "schema"),
        ("a=1,b", "schema"),
        ("A: 1\nB", "schema"),
        ('{"A":', "schema"),
        ('{"A": 1}', "schema"),
        ("a=1,A=2", "bad_header"),
        ("=1", "bad_header"),
        ("a=", "bad_header"),
    ],
)
def test_flat_headers_that_are_none_of_these_are_a_fault(text: str, code: str) -> None:
    assert faults({"type": "webhook", "url": GOOD["url"], "headers": text}) == {"headers": [code]}


def test_faults_of_flat_keys_are_told_together() -> None:
    assert faults(
        {"name": b"\xff", "type": "fax", "enabled": "maybe", "api_key": " ", "filter_config": "[", "url": "x"}
    ) == {
        "name": ["encoding"],
        "enabled": ["schema"],
        "api_key": ["bad_header"],
        "filter_config": ["schema"],
        "type": ["schema"],
        "url": ["bad_url"],
    }


def test_a_flat_filter_is_an_object() -> None:
    assert faults({"type": "slack", "url": GOOD["url"], "filter_config": "[]"}) == {"filter_config": ["schema"]}
    assert faults({"type": "slack", "url": GOOD["url"], "filter_config": b"\xff"}) == {"filter_config": ["encoding"]}


def test_two_credentials_for_one_header_are_a_fault() -> None:
    assert faults({"type": "slack", "url": GOOD["url"], "api_key": "a", "auth_token": "b"}) == {
        "headers": ["bad_header"]
    }


def test_older_keys() -> None:
    found = good(
        {
            "target-name": "team-a",
            "webhook-url": GOOD["url"],
            "enabled": "false",
            "auth-header": "Basic abc",
            "api-key": "not used",
            "header-X-Team": "a",
            "filter-severity": "Critical, warning",
            "filter-namespaces": "production,staging",
            "exclude-noise": "true",
            "min-confidence": "0.8",
            "alert-name-pattern": "^Node",
        }
    )
    assert (found.shape, found.type, found.format, found.enabled) == ("older", "webhook", "alertmanager", False)
    assert {name: value.reveal() for name, value in found.headers.items()} == {
        "Authorization": "Basic abc",
        "X-Team": "a",
    }
    assert found.filter_config == {
        "severity": ["critical", "warning"],
        "namespaces": ["production", "staging"],
        "exclude_noise": True,
        "min_confidence": 0.8,
        "alert_name_pattern": "^Node",
    }


@pytest.mark.parametrize("format_", ["rootly", "pagerduty", "slack", "webhook", "alertmanager"])
def test_older_keys_have_no_type(format_: str) -> None:
    found = good({"webhook-url": GOOD["url"], "format": format_})
    assert found.name == "the-secret"
    assert found.type == ("webhook" if format_ == "alertmanager" else format_)


@pytest.mark.parametrize(("key", "value"), [("api-key", "Bearer k"), ("token", "Token k"), ("auth-header", "k")])
def test_older_credentials(key: str, value: str) -> None:
    assert good({"webhook-url": GOOD["url"], key: "k"}).headers == {"Authorization": Credential(value)}


def test_faults_of_older_keys_are_told_together() -> None:
    assert faults(
        {
            "target-name": "X",
            "format": "fax",
            "exclude-noise": "maybe",
            "min-confidence": "nan",
            "header-": "x",
            "filter-severity": b"\xff",
            "enabled": b"\x00",
        }
    ) == {
        "filter-severity": ["encoding"],
        "enabled": ["encoding"],
        "exclude-noise": ["schema"],
        "min-confidence": ["schema"],
        "name": ["bad_name"],
        "format": ["schema"],
        "url": ["schema"],
        "headers": ["bad_header"],
    }
    assert faults({"webhook-url": GOOD["url"], "min-confidence": "high"}) == {"min-confidence": ["schema"]}


def test_the_first_shape_counts() -> None:
    shapes: dict[str, Any] = {
        "config": GOOD | {"name": "one"},
        "target.json": GOOD | {"name": "two"},
        "target": GOOD | {"name": "three"},
        "url": GOOD["url"],
        "type": "webhook",
        "name": "four",
        "webhook-url": GOOD["url"],
        "target-name": "five",
    }
    names = []
    while shapes:
        names.append(good(shapes).name)
        for key in {"four": ("url", "type", "name"), "five": ("webhook-url", "target-name")}.get(
            names[-1], (next(iter(shapes)),)
        ):
            del shapes[key]
    assert names == ["one", "two", "three", "four", "five"]


def test_a_key_that_is_there_counts_even_if_it_is_bad() -> None:
    assert faults({"config": "", "type": "slack", "url": GOOD["url"]}) == {"config": ["missing_config"]}


@pytest.mark.parametrize("type_", ["rootly", "pagerduty", "slack", "webhook"])
@pytest.mark.parametrize("format_", ["alertmanager", "rootly", "pagerduty", "slack", "webhook"])
def test_types_take_their_own_format_and_webhook_the_two_generic_ones(type_: str, format_: str) -> None:
    fits = format_ == type_ or (type_ == "webhook" and format_ == "alertmanager")
    result = read(config(type=type_, format=format_))
    assert isinstance(result, Target) is fits
    if not fits:
        assert [fault.field for fault in result] == ["format"]  # type: ignore[union-attr]


@pytest.mark.parametrize("field", ["name", "type", "url", "format"])
def test_required_fields(field: str) -> None:
    assert faults(config(**{field: ...})) == {field: ["schema"]}
    assert faults(config(**{field: None})) == {field: ["schema"]}
    assert faults(config(**{field: 5})) == {field: ["schema"]}


def test_all_faults_are_told_together() -> None:
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


@pytest.mark.parametrize("name", ["a", "0", "a-b", "a" * 63, "a--b"])
def test_good_names(name: str) -> None:
    assert good(config(name=name)).name == name


@pytest.mark.parametrize(
    "name", ["", "a\n", "-a", "a-", "A", "a_b", "a.b", "a" * 64, "status", "refresh", "approve", "reject"]
)
def test_bad_names(name: str) -> None:
    assert faults(config(name=name)) == {"name": ["bad_name"]}


def test_more_than_a_hundred_headers_are_too_many() -> None:
    assert len(good(config(headers={f"h{n}": "x" for n in range(100)})).headers) == 100
    assert faults(config(headers={f"h{n}": "x" for n in range(101)})) == {"headers": ["too_complex"]}


def test_header_values_may_be_latin_1() -> None:
    assert good(config(headers={"X-Team": "caf\xe9\tx"})).headers["X-Team"].reveal() == "caf\xe9\tx"


def test_what_a_reader_gets_cannot_be_changed() -> None:
    found = good(config(headers={"a": "b"}, filter_config={"list": [1]}))
    with pytest.raises(AttributeError):
        found.name = "other"  # type: ignore[misc]
    with pytest.raises(TypeError):
        found.headers["a"] = Credential("x")  # type: ignore[index]
    found.filter_config["list"].append(2)
    assert found.filter_config == {"list": [1]}
    assert len(found.filter_config) == 1 and list(found.filter_config) == ["list"]


def test_a_target_does_not_show_its_credentials() -> None:
    found = good(config(headers={"a": CANARY}))
    assert CANARY not in f"{found} {found!r} {found.headers} {found.url}"
    assert "severity" in repr(good(config(filter_config={"severity": 1})).filter_config)


def test_equal_content_has_an_equal_digest_however_it_is_written() -> None:
    filters = {"severity": ["critical"], "a": 1}
    one = good(config(headers={"a": "1", "b": "2"}, filter_config=filters))
    other = good(
        {
            "config": json.dumps(
                GOOD | {"filter_config": {"a": 1, "severity": ["critical"]}, "headers": {"b": "2", "a": "1"}}, indent=3
            )
        }
    )
    assert one.digest == other.digest
    assert one == other
    by_hand = Target(
        one.name,
        one.type,
        one.format,
        one.url,
        headers=one.headers,
        filter_config=filters,
        namespace="ns",
        secret="the-secret",
        shape="config",
    )
    assert by_hand.digest == one.digest


@pytest.mark.parametrize(
    "change",
    [
        {"name": "b"},
        {"format": "webhook"},
        {"url": "https://x"},
        {"enabled": False},
        {"headers": {"a": "b"}},
        {"filter_config": {"a": 1}},
    ],
)
def test_other_content_has_another_digest(change: dict[str, Any]) -> None:
    assert good(config(**change)).digest != good(config()).digest


def test_where_a_target_comes_from_is_in_its_digest() -> None:
    digests = {
        good(config()).digest,
        good(config(), secret="other").digest,
        good({"target": GOOD}).digest,
    }
    assert len(digests) == 3


def test_becoming_stale_leaves_the_content_alone() -> None:
    fresh = good(config())
    stale = fresh.stale(5.0, (Fault("config", "schema: x"),))
    assert (stale.stale_since, stale.faults, stale.digest) == (5.0, (Fault("config", "schema: x"),), fresh.digest)
    assert fresh.stale_since is None


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


def test_bad_base64_is_told_with_the_other_faults() -> None:
    result = parse_base64({"type": "c2xhY2s=", "url": "!", "name": "QQ=="}, namespace="ns", secret="s")
    assert isinstance(result, tuple)
    assert {fault.field: fault.message.partition(":")[0] for fault in result} == {
        "url": "bad_base64",
        "name": "bad_name",
    }
    older = parse_base64({"webhook-url": "!", "format": "!"}, namespace="ns", secret="s")
    assert isinstance(older, tuple)
    assert [fault.field for fault in older] == ["webhook-url", "format"]


def test_a_config_can_be_made_from_a_target() -> None:
    written = GOOD | {"enabled": False, "headers": {"a": "b"}, "filter_config": {"x": [1]}}
    assert as_config(good({"config": copy.deepcopy(written)})) == written


def test_limits_are_just_that() -> None:
    padding = limits.MAX_BYTES - len(json.dumps(GOOD | {"filter_config": {"note": ""}}))
    assert len(good(config(filter_config={"note": "x" * padding})).filter_config["note"]) == padding
    assert faults(config(filter_config={"note": "x" * (padding + 1)})) == {"config": ["target_too_large"]}
    deep: Any = 1
    for _ in range(limits.MAX_DEPTH - 2):
        deep = [deep]
    assert good(config(filter_config={"deep": deep}))
    assert faults(config(filter_config={"deep": [deep]})) == {"config": ["too_complex"]}


@pytest.mark.parametrize(
    "number", ["2025-11-25", "1.2.3", "1-", "1e5e5", "0x1f", "007", "1_000", "--1", "12:30", "1.", "1e", "-", "+5"]
)
def test_s06_what_begins_as_a_number_and_is_none_is_no_json(number: str) -> None:
    for field in ("expires", "filter_config"):
        value = number if field == "expires" else f'{{"a": {number}}}'
        assert faults({"config": f'{json.dumps(GOOD)[:-1]}, "{field}": {value}}}'}) == {"config": ["schema"]}
    assert faults({"type": "slack", "url": GOOD["url"], "filter_config": f'{{"a": {number}}}'}) == {
        "filter_config": ["schema"]
    }


def test_brackets_in_strings_do_not_count() -> None:
    assert good(config(filter_config={"pattern": '[{"\\' * 500}))
    assert good(config(filter_config={"pattern": "," * 20_000}))


@pytest.mark.parametrize(
    "number", ["9223372036854775807", "-9223372036854775808", "1e3", "0", "-1", "0.5", "12345678901234567890e-3"]
)
def test_numbers_that_every_reader_knows(number: str) -> None:
    text = json.dumps(GOOD)[:-1] + f', "filter_config": {{"n": {number}}}}}'
    assert good({"config": text}).filter_config["n"] == json.loads(number)
