"""The shapes in which a Secret may hold a target."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from alert_refresh.credential import Credential
from alert_refresh.targets.secret.parse import parse_base64
from tests.targets.secret.samples import CANARY, GOOD, config, faults, good, only_fault


@pytest.mark.parametrize("shape", ["config", "target.json", "target"])
@pytest.mark.parametrize("times", [1, 2])
def test_json_that_is_still_base64_is_reported(shape: str, times: int) -> None:
    text = json.dumps(GOOD).encode()
    for _ in range(times):
        text = base64.b64encode(text)
    fault = only_fault({shape: text})
    assert (fault.field, "encoded twice" in fault.message) == (shape, True)


@pytest.mark.parametrize(("key", "value"), [("url", GOOD["url"]), ("type", "slack"), ("format", "slack\n")])
def test_a_flat_value_that_is_still_base64_is_reported(key: str, value: str) -> None:
    data = {"type": "slack", "url": GOOD["url"], "format": "slack"} | {key: base64.b64encode(value.encode()).decode()}
    fault = only_fault(data)
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
def test_the_fault_of_a_secret_without_a_known_key_lists_the_known_keys(key: str, near: str) -> None:
    fault = only_fault({key: json.dumps(GOOD)})
    assert fault.field == "config"
    assert f"key '{key}' is not read, did you mean '{near}" in fault.message
    assert "config, target.json, target; or url and type; or webhook-url and target-name" in fault.message
    encoded = parse_base64({key: "e30="}, namespace="ns", secret="s")
    assert encoded == (fault,)


def test_the_fault_of_a_secret_with_no_similar_key_lists_the_known_keys() -> None:
    fault = only_fault({"tls.crt": "x", "password": CANARY})
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
    fault = only_fault(data)
    assert fault.field == key
    assert fault.message.startswith("unknown_field: ") and f"did you mean '{near}'?" in fault.message


def test_keys_beside_the_one_that_holds_json_are_not_fields() -> None:
    assert good(config() | {"enable": "x", "ca.crt": b"\xff"}) == good(config())


@pytest.mark.parametrize("type_", [..., "fax", 5])
def test_a_default_format_is_not_a_fault(type_: Any) -> None:
    data = {"url": GOOD["url"]} | ({} if type_ is ... else {"type": type_})
    assert faults(data) == {"type": ["schema"]}


@pytest.mark.parametrize("key", ["target.json", "target"])
def test_the_same_json_under_other_keys_may_call_its_filters_filters(key: str) -> None:
    found = good({key: GOOD | {"filters": {"severity": "critical"}}})
    assert found.shape == key
    assert found.filter_config == {"severity": "critical"}


@pytest.mark.parametrize("key", ["target.json", "target"])
@pytest.mark.parametrize("other", [{"b": 1}, {}, None])
def test_filters_and_filter_config_together_are_a_fault(key: str, other: Any) -> None:
    fault = only_fault({key: GOOD | {"filters": {"a": 1}, "filter_config": other}})
    assert fault.field == "filters" and "filter_config is there too" in fault.message


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


def test_faults_of_flat_keys_are_reported_together() -> None:
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


def test_faults_of_older_keys_are_reported_together() -> None:
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


OLDER = {"webhook-url": GOOD["url"]}
FLAT = {"type": "slack", "url": GOOD["url"]}


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer C, X-A: c",
        "A: 1\nB: 2,C: 3",
        "A: 1,X-Team:c",
        "A: 1,\tauthorization:c",
    ],
)
def test_header_lines_that_are_joined_by_commas_are_a_fault(text: str) -> None:
    fault = only_fault(FLAT | {"headers": text})
    assert fault.field == "headers" and "each on its own line" in fault.message


@pytest.mark.parametrize("value", ["a, b", "x,http://a/", "::1, fe80::1,abcd:1::", "Sun, 06 Nov 1994 08:49:37 GMT"])
def test_a_comma_in_a_header_line_is_part_of_the_value(value: str) -> None:
    assert good(FLAT | {"headers": f"A: {value}"}).headers["A"].reveal() == value


@pytest.mark.parametrize("value", ["Bearer C", "bearer C", "Token C", "BASIC C", "Bearer: C"])
@pytest.mark.parametrize(
    ("data", "key"), [(FLAT, "api_key"), (FLAT, "auth_token"), (OLDER, "api-key"), (OLDER, "token")]
)
def test_a_token_with_a_scheme_is_a_fault(data: dict[str, Any], key: str, value: str) -> None:
    fault = only_fault(data | {key: value})
    assert fault.field == key and "write the token alone" in fault.message


@pytest.mark.parametrize("value", [" C", "C ", "\tC"])
@pytest.mark.parametrize(
    ("data", "key"), [(FLAT, "api_key"), (FLAT, "routing-key"), (OLDER, "token"), (OLDER, "auth-header")]
)
def test_a_credential_with_a_blank_around_it_is_a_fault(data: dict[str, Any], key: str, value: str) -> None:
    fault = only_fault(data | {key: value})
    assert (fault.field, fault.message) == (key, "bad_header: begins or ends with a blank")


def test_a_token_may_begin_like_a_scheme_and_other_headers_are_as_they_are() -> None:
    assert good(FLAT | {"api_key": "bearerC"}).headers == {"Authorization": Credential("Bearer bearerC")}
    assert good(FLAT | {"routing-key": "Bearer C"}).headers == {"X-Routing-Key": Credential("Bearer C")}
    assert good(OLDER | {"auth-header": "Bearer C"}).headers == {"Authorization": Credential("Bearer C")}
    assert good(OLDER | {"header-X": " C "}).headers == {"X": Credential(" C ")}


def test_several_older_credentials_are_a_fault() -> None:
    assert faults(OLDER | {"auth-header": "Basic a", "api-key": "b", "token": "c"}) == {
        "api-key": ["bad_header"],
        "token": ["bad_header"],
    }
    fault = only_fault(OLDER | {"api-key": "b", "token": "c"})
    assert fault.field == "token" and "api-key is there too" in fault.message


def test_the_older_url_beside_a_type_is_said_to_belong_to_the_older_shape() -> None:
    fault = only_fault(OLDER | {"type": "slack"})
    assert fault.field == "webhook-url" and "belongs to the older shape" in fault.message


ENCRYPTED = "ENC[AES256_GCM,data:Zm9v,iv:YQ==,tag:Yg==,type:str]"


@pytest.mark.parametrize("key", ["config", "target.json", "target"])
def test_json_that_sops_encrypted_is_named(key: str) -> None:
    fault = only_fault({key: ENCRYPTED})
    assert fault.field == key and "still encrypted by SOPS" in fault.message
    assert parse_base64({key: ENCRYPTED}, namespace="ns", secret="s") == (fault,)


@pytest.mark.parametrize("key", ["url", "type", "api_key", "headers", "filter_config", "enabled"])
def test_a_flat_value_that_sops_encrypted_is_named(key: str) -> None:
    fault = only_fault(FLAT | {key: ENCRYPTED})
    assert fault.field == key and "still encrypted by SOPS" in fault.message


@pytest.mark.parametrize(
    ("data", "key", "value"),
    [
        (FLAT, "enabled", "true"),
        (FLAT, "enabled", "False\n"),
        (FLAT, "name", "team-a"),
        (OLDER, "target-name", "a"),
        (OLDER, "exclude-noise", "true"),
    ],
)
def test_a_name_or_boolean_that_is_encoded_twice_is_named(data: dict[str, Any], key: str, value: str) -> None:
    fault = only_fault(data | {key: base64.b64encode(value.encode()).decode()})
    assert fault.field == key and "encoded twice" in fault.message


@pytest.mark.parametrize("name", ["team", "yw4x", "abcd", "true"])
def test_a_good_name_that_is_base64_too_is_a_name(name: str) -> None:
    assert good(FLAT | {"name": name}).name == name


def test_plain_text_under_data_is_told_where_it_belongs() -> None:
    found = parse_base64({"config": json.dumps(GOOD)}, namespace="ns", secret="s")
    assert isinstance(found, tuple)
    assert [fault.message for fault in found] == [
        "bad_base64: is not valid base64; plain text belongs under stringData"
    ]
