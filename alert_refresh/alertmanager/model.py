"""Our own model of what Alertmanager accepts in the receivers and routes that are written here.

It follows Alertmanager's sources and Go's `net/url`: what it refuses, some version refuses or delivers wrongly. What
depends on the version of Go that Alertmanager was built with is left to Alertmanager.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

from alert_refresh.rules.matcher import NAME, compile_all, why_bad
from alert_refresh.targets.secret.fields import HEADER_NAME

if TYPE_CHECKING:
    from alert_refresh.rules.matcher import Matcher

RESERVED_HEADERS = frozenset(
    (
        "authorization", "host", "content-encoding", "content-length", "content-type", "user-agent", "connection",
        "keep-alive", "proxy-authenticate", "proxy-authorization", "www-authenticate", "accept-encoding",
        "x-prometheus-remote-write-version", "x-prometheus-remote-read-version", "x-prometheus-scrape-timeout-seconds",
        "x-amz-date", "x-amz-security-token", "x-amz-content-sha256",
    )
)  # fmt: skip
"""Headers that `http_config.http_headers` may not set."""
LONGEST_HEADER = 500
"""Maximum characters of a header's name: it is a key of a YAML mapping, which may have 1,024."""
DEEPEST_EXPRESSION = 200
"""Maximum nesting of groups in a regular expression: Go allows 1,000 nodes, each group takes up to four."""

_PLAIN = re.compile(r"https?://[a-z0-9.-]+(?::[0-9]{1,4})?(?:/[A-Za-z0-9_!&'()*+,./:;=?~-]*)?")
"""What most URLs look like."""
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_HOST = re.compile(r"(?:[A-Za-z0-9$&+,;=!'()*<>\"._~-]|%[89A-Fa-f][0-9A-Fa-f]|[^\x00-\x7f])+")
_BRACKETED = re.compile(r"\[[0-9A-Fa-f:.]+(?:%25[A-Za-z0-9._~-]+)?\]")
_TEMPLATE = "{{"
_NOT_STRUCTURE = re.compile(r"\\Q.*?(?:\\E|\Z)|\\.|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]", re.DOTALL)
"""What holds no group in a regular expression: quoted text, an escape, a class."""
_OPEN_QUOTE = re.compile(r"\\Q(?:(?!\\E).)*\Z", re.DOTALL)
_ESCAPE = re.compile(r"\\Q.*?\\E|\\[^Q]", re.DOTALL)
_GROUP_NAME = re.compile(r"\(\?P?<(?![=!])([^>]*)>")
_WORD = re.compile(r"[A-Za-z0-9_]+")


def url_problem(url: str) -> str | None:
    """Why Alertmanager cannot deliver to a URL, or None."""
    if _PLAIN.fullmatch(url):
        return None
    if _CONTROL.search(url) or _SURROGATE.search(url):
        return "has a character that no URL has"
    if _TEMPLATE in url:
        return "has {{, which Alertmanager would take for a template"
    url, _, fragment = url.partition("#")
    scheme = _SCHEME.match(url)
    if scheme is None or scheme[0].lower() not in ("http:", "https:"):
        return "is neither http nor https"
    rest = url[scheme.end() :].partition("?")[0]
    if not rest.startswith("//"):
        return "has no host"
    authority, slash, path = rest[2:].partition("/")
    if _BAD_ESCAPE.search(slash + path) or _BAD_ESCAPE.search(fragment):
        return "has a percent sign that two hexadecimal digits do not follow"
    return _authority_problem(authority)


def _authority_problem(authority: str) -> str | None:
    if "@" in authority:
        return "has user info"
    host, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        host, port = authority, ""
    if port and not (port.isascii() and port.isdigit() and int(port[:9]) <= 65535):
        return "has a port that is no number from 0 to 65535"
    if not host:
        return "has no host"
    if not _HOST.fullmatch(host) and not _BRACKETED.fullmatch(host):
        return "has a host with a character that no host has"
    return None


def header_problem(name: str, value: str) -> str | None:
    """Why `http_config.http_headers` cannot set a header, or None; never quotes the value."""
    if not HEADER_NAME.fullmatch(name):
        return "a header's name has a character that no name has"
    if len(name) > LONGEST_HEADER:
        return f"a header's name is longer than {LONGEST_HEADER} characters"
    if name.lower() in RESERVED_HEADERS:
        return f"Alertmanager sets {name.lower()} itself"
    return value_problem(value)


def value_problem(value: str) -> str | None:
    """Why a text cannot be the value of a header or a part of it, or None."""
    if _CONTROL.search(value.replace("\t", "")) or _SURROGATE.search(value):
        return "a header's value has a character that no value has"
    return None if value.strip() else "a header's value is empty"


def key_problem(key: str) -> str | None:
    """Why a text cannot be PagerDuty's `routing_key`, which Alertmanager reads as a template; or None."""
    if not key.strip():
        return "the routing key is empty"
    return "the routing key has {{, which Alertmanager would take for a template" if _TEMPLATE in key else None


def matcher_problem(matcher: Matcher, utf8: bool) -> str | None:
    """Why a matcher cannot be in a route, or None. `utf8`: whether label names may have any character."""
    if not matcher.name:
        return "the label name is empty"
    if not utf8 and not NAME.fullmatch(matcher.name):
        return "a label name with other characters than letters, digits, _ and : needs Alertmanager 0.27"
    if _SURROGATE.search(matcher.name) or _SURROGATE.search(matcher.value):
        return "it has half of a surrogate pair"
    return expression_problem(matcher.value) if matcher.is_expression else None


@lru_cache(maxsize=16384)
def expression_problem(expression: str) -> str | None:
    """Why a regular expression is refused by RE2, or by Go though RE2 accepts it; or None."""
    if compile_all((expression,), {})[1]:
        return f"it is not a regular expression: {why_bad(expression) or 'RE2 refuses it'}"
    if "(" not in expression and "\\Q" not in expression:
        return None
    if _OPEN_QUOTE.search(_ESCAPE.sub("", expression)):
        return "\\Q needs \\E at its end"
    if any(not _WORD.fullmatch(found[1]) for found in _GROUP_NAME.finditer(_NOT_STRUCTURE.sub("", expression))):
        return "the name of a group has other characters than letters, digits and _"
    depth = deepest = 0
    for character in _NOT_STRUCTURE.sub("", expression):
        depth += (character == "(") - (character == ")")
        deepest = max(deepest, depth)
    return f"more than {DEEPEST_EXPRESSION} nested groups" if deepest > DEEPEST_EXPRESSION else None
