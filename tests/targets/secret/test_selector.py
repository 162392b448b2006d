"""Label selectors have the semantics of Kubernetes."""

from __future__ import annotations

import pytest

from alert_refresh.engine import ConfigErrors
from alert_refresh.env import Env
from alert_refresh.targets import read
from alert_refresh.targets.secret.selector import parse_selector


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("", {}, True),
        ("  ", {"a": "b"}, True),
        ("a=b", {"a": "b"}, True),
        ("a=b", {"a": "c"}, False),
        ("a=b", {}, False),
        ("a == b", {"a": "b"}, True),
        ("a=", {"a": ""}, True),
        ("a=", {}, False),
        ("a!=b", {"a": "c"}, True),
        ("a!=b", {}, True),
        ("a!=b", {"a": "b"}, False),
        ("a in (b, c)", {"a": "c"}, True),
        ("a in (b, c)", {"a": "d"}, False),
        ("a in (b, c)", {}, False),
        ("a in (b,)", {"a": ""}, True),
        ("a in (,)", {"a": ""}, True),
        ("a in (,,b)", {"a": "b"}, True),
        ("a notin (b, c)", {"a": "d"}, True),
        ("a notin (b, c)", {}, True),
        ("a notin(b,c)", {"a": "b"}, False),
        ("a", {"a": ""}, True),
        ("a", {}, False),
        ("!a", {}, True),
        ("! a", {"a": "x"}, False),
        ("a>3", {"a": "4"}, True),
        ("a>3", {"a": "3"}, False),
        ("a<3", {"a": "2"}, True),
        ("a<3", {"a": "x"}, False),
        ("a<3", {}, False),
        ("a=b,c=d", {"a": "b", "c": "d"}, True),
        ("a=b,c=d", {"a": "b"}, False),
        ("a,!b , c in (d)", {"a": "1", "c": "d"}, True),
        ("example.com/a=b", {"example.com/a": "b"}, True),
        ("in in (in)", {"in": "in"}, True),
    ],
)
def test_selectors(text: str, labels: dict[str, str], expected: bool) -> None:
    assert parse_selector(text).matches(labels) is expected


@pytest.mark.parametrize(
    "text",
    [
        ",",
        "a,",
        ",a",
        "a,,b",
        "=b",
        "a=b=c",
        "a b",
        "a in",
        "a in b",
        "a in ()",
        "a in (b",
        "a in (b c)",
        "a in ((b))",
        "a in (b),",
        "!",
        "!a=b",
        "a!b",
        "a=-",
        "-a",
        "a/b/c",
        "/a",
        "A.com/a",
        "a" * 64,
        "a=" + "b" * 64,
        "a>x",
        "a<",
        "a()",
        "a=\u00e9",
        "x" * 5000,
    ],
)
def test_malformed_selectors(text: str) -> None:
    with pytest.raises(ValueError, match=r"has|is|ends|compares"):
        parse_selector(text)


def test_a_malformed_selector_stops_the_start() -> None:
    env = Env({"TARGET_LABEL_SELECTOR": "a in b"})
    read(env)
    with pytest.raises(ConfigErrors) as raised:
        env.finish(())
    assert [fault.field for fault in raised.value.faults] == ["TARGET_LABEL_SELECTOR"]
