"""Addresses of daemons, as URLs and as ALERT_REFRESH_BIND has them."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.cli.server_url import ServerUrl, parse


@pytest.mark.parametrize(
    ("text", "expected", "shown"),
    [
        ("http://127.0.0.1:8080", ServerUrl("127.0.0.1", 8080), "http://127.0.0.1:8080"),
        ("http://alerts/", ServerUrl("alerts", 80), "http://alerts"),
        ("HTTPS://Alerts.Example.com", ServerUrl("alerts.example.com", 443, tls=True), "https://alerts.example.com"),
        ("https://x:8443/alert-refresh/", ServerUrl("x", 8443, True, "/alert-refresh"), "https://x:8443"),
        ("https://x/a%2fb/ü", ServerUrl("x", 443, True, "/a%2fb/%C3%BC"), "https://x"),
        ("http://[::1]:8080/", ServerUrl("::1", 8080), "http://[::1]:8080"),
        ("http://[fe80::1%25eth0]", ServerUrl("fe80::1%eth0", 80), "http://[fe80::1%eth0]"),
        ("unix:/run/a.sock", ServerUrl(socket="/run/a.sock"), "unix:/run/a.sock"),
        ("127.0.0.1:8080", ServerUrl("127.0.0.1", 8080), "http://127.0.0.1:8080"),
        ("0.0.0.0:9000", ServerUrl("127.0.0.1", 9000), "http://127.0.0.1:9000"),
        ("[::]:9000", ServerUrl("::1", 9000), "http://[::1]:9000"),
        ("localhost:80", ServerUrl("localhost", 80), "http://localhost"),
    ],
)
def test_an_address_is_read(text: str, expected: ServerUrl, shown: str) -> None:
    assert (parse(text), str(parse(text))) == (expected, shown)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("alerts", "is not a valid URL"),
        ("unix:run/a.sock", "is not a valid URL"),
        ("unix://run/a.sock", None),
        ("ftp://x", "has a scheme that is neither http nor https"),
        ("http://", "has no host"),
        ("http://:8080", "has no host"),
        ("http://x:port", "is not a valid URL"),
        ("http://x:65536", "is not a valid URL"),
        ("http://x:0", "has the port 0"),
        ("127.0.0.1:0", "has the port 0: the operating system chose one"),
        ("http://[::1", "is not a valid URL"),
        ("http://[nonsense]/", "is not a valid URL"),
        ("http://user:word@x", "holds user info; a token belongs into the file"),
        ("http://user@x", "holds user info"),
        ("http://x/?a=b", "has a query or a fragment"),
        ("http://x/#b", "has a query or a fragment"),
        ("http://x/a b", "has a blank"),
        (" http://x", "begins or ends with a blank"),
        ("'http://x'", "is wrapped in quotation marks"),
        ("http://${HOST}/", "has a placeholder"),
        ("http://x/\u200b", "has the invisible character U+200B"),
        ("", "is not a valid URL"),
    ],
)
def test_what_cannot_be_used_is_told(text: str, reason: str | None) -> None:
    if reason is None:
        assert parse(text).socket == "//run/a.sock", "a path may begin with two slashes"
        return
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse(text)


@pytest.mark.parametrize(
    ("text", "local"),
    [
        ("http://127.1:80", True), ("http://localhost", True), ("unix:/x", True), ("http://[::1]", True),
        ("http://10.0.0.1", False), ("https://alerts", False), ("http://localhost.example.com", False),
        ("http://127.0.0.1.example.com", False),
    ],
)  # fmt: skip
def test_it_knows_whether_it_leads_to_this_machine_only(text: str, local: bool) -> None:
    assert parse(text).local is local


@given(st.text() | st.from_regex(r"https?://[^/]{0,20}(/.{0,20})?", fullmatch=True))
def test_any_text_is_an_address_or_a_reason_that_does_not_show_it(text: str) -> None:
    said = ""
    try:
        found = parse(text)
    except ValueError as error:
        said = str(error)
    if said:
        assert said.isprintable() and not (len(text) > 8 and text in said)
        return
    assert found.socket.startswith("/") or (found.host and 0 < found.port < 65536)
    assert found.prefix.isascii() and " " not in found.prefix and not found.prefix.endswith("/")
    with contextlib.suppress(ValueError):  # what is shown need not be what was read, but is an address again
        parse(str(found))
