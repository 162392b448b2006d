from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alert_refresh.alertmanager.model import (
    expression_problem,
    header_problem,
    key_problem,
    matcher_problem,
    url_problem,
)
from alert_refresh.alertmanager.tree import quoted
from alert_refresh.rules.matcher import Matcher
from tests.alertmanager.amtool import Written

GOOD_URLS = [
    "https://hooks.slack.com/services/T0/B0/x-y_z",
    "http://localhost",
    "HTTPS://Example.COM:8443?a=%zz&b=#frag",
    "http://10.0.0.1:9093/",
    "http://[::1]:80/x",
    "http://[fe80::1%25eth0]/",
    "http://münchen.example/ä?ö#ü",
    "https://example.com/%C3%A9%20/{x}|^`<>",
    "https://example.com/@user",
    "https://a_b-c.example.com:/x",
]
PIECES = [
    "http://", "https://", "HTTP:", "//", "/", ":", "a", "b.c", "[::1]", "[", "]", "%25", "%41", "%zz", "%C3%A9", "%",
    "é", "?", "#", "@", ":80", "-", "_", "~", "!", "$", "'", "(", "*", ";", "=", "<", '"', "^", "|", "{", " ", "\\",
    "`", "{{",
]  # fmt: skip


@pytest.mark.parametrize("url", GOOD_URLS)
def test_urls_that_alertmanager_accepts(url: str, tmp_path: Path) -> None:
    assert url_problem(url) is None
    assert takes(tmp_path, [url])


def takes(folder: Path, urls: list[str]) -> bool:
    """Whether Alertmanager accepts receivers of every type with these URLs."""
    receivers = "".join(
        f"- name: r{number}\n"
        f"  slack_configs: [{{api_url: {quoted(one)}}}]\n"
        f"  webhook_configs: [{{url: {quoted(one)}}}]\n"
        f"  pagerduty_configs: [{{routing_key: x, url: {quoted(one)}}}]\n"
        for number, one in enumerate(urls)
    )
    return Written(folder, f"route: {{receiver: d}}\nreceivers:\n- name: d\n{receivers}".encode()).accepted()


@settings(max_examples=15)
@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=7).map("".join), min_size=300, max_size=300))
def test_no_url_is_accepted_that_alertmanager_refuses(urls: list[str]) -> None:
    good = [one for url in urls for one in (url, f"https://{url}") if url_problem(one) is None]
    with TemporaryDirectory() as folder:
        assert takes(Path(folder), good), [one for one in good if not takes(Path(folder), [one])]


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "is neither http nor https"),
        ("https:x", "has no host"),
        ("https://", "has no host"),
        ("https://:80", "has no host"),
        ("https://user:password@example.com", "has user info"),
        ("https://example.com:70000", "has a port that is no number from 0 to 65535"),
        ("https://example.com:٣", "has a port that is no number from 0 to 65535"),
        ("https://a:b:80/", "has a host with a character that no host has"),
        ("https://example.com/%2", "has a percent sign that two hexadecimal digits do not follow"),
        ("https://example.com/{{ .x }}", "has {{, which Alertmanager would take for a template"),
        ("https://example.com/\ud800", "has a character that no URL has"),
    ],
)
def test_urls_that_cannot_be_delivered_to(url: str, problem: str) -> None:
    assert url_problem(url) == problem


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("X-Team", "a", None),
        ("X-Team", "a\tb é", None),
        ("x-amz-DATE", "a", "Alertmanager sets x-amz-date itself"),
        ("X" * 500, "a", None),
        ("X" * 501, "a", "a header's name is longer than 500 characters"),
        ("X Team", "a", "a header's name has a character that no name has"),
        ("X-Team", "a\x00", "a header's value has a character that no value has"),
        ("X-Team", "\ud800", "a header's value has a character that no value has"),
        ("X-Team", " ", "a header's value is empty"),
    ],
)
def test_headers(name: str, value: str, problem: str | None) -> None:
    assert header_problem(name, value) == problem


def test_routing_keys() -> None:
    assert key_problem("R0ABC") is None
    assert key_problem(" ") == "the routing key is empty"
    assert key_problem("{{ x }}") == "the routing key has {{, which Alertmanager would take for a template"


def test_label_names_depend_on_alertmanager() -> None:
    assert matcher_problem(Matcher("a:b_1", "=", ""), utf8=False) is None
    assert matcher_problem(Matcher("a.b", "=", ""), utf8=True) is None
    assert "needs Alertmanager 0.27" in str(matcher_problem(Matcher("a.b", "=", ""), utf8=False))
    assert matcher_problem(Matcher("", "=", ""), utf8=True) == "the label name is empty"
    for half in (Matcher("a", "=", "\ud800"), Matcher("\ud800", "=", "")):
        assert matcher_problem(half, utf8=True) == "it has half of a surrogate pair"
    assert matcher_problem(Matcher("a", "=", "("), utf8=False) is None
    assert "a parenthesis is not closed" in str(matcher_problem(Matcher("a", "!~", "("), utf8=False))


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("a|b", None),
        ("\\Qa(\\E|(?P<n_1>b)", None),
        ("\\\\Q(a)", None),
        ("[(?P<é>]\\((?P<n>a)", None),
        ("((((a))))" + "(b)" * 500, None),
        ("(" * 200 + ")" * 200, None),
        ("[" + "(" * 300 + "]()", None),
        ("(" * 201 + ")" * 201, "more than 200 nested groups"),
        ("a\\Qb", "\\Q needs \\E at its end"),
        ("\\Qa\\E\\Q", "\\Q needs \\E at its end"),
        ("(?P<é>a)", "the name of a group has other characters than letters, digits and _"),
        ("(?i", "it is not a regular expression: "),
        ("(" * 5000, "it is not a regular expression: it is longer"),
    ],
)
def test_expressions(expression: str, problem: str | None, tmp_path: Path) -> None:
    found = expression_problem(expression)
    assert found is None if problem is None else str(found).startswith(problem)
    matcher = quoted(str(Matcher("a", "=~", expression)))
    text = f"route: {{receiver: d, routes: [{{matchers: [{matcher}]}}]}}\nreceivers: [{{name: d}}]\n"
    assert found is not None or Written(tmp_path, text.encode()).accepted()
