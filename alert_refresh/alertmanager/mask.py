"""A configuration as it may be shown: what is not known to be harmless is masked, also in what the template has."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from alert_refresh.alertmanager.tree import BadYaml, Mapping, Node, Scalar, Sequence, read, text, write
from alert_refresh.credential import MASK

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOWN = frozenset(
    (
        "active_time_intervals", "equal", "group_by", "labels", "match", "match_re", "matchers", "mute_time_intervals",
        "source_match", "source_match_re", "source_matchers", "target_match", "target_match_re", "target_matchers",
        "templates", "time_intervals",
    )
)  # fmt: skip
"""Keys below which everything is shown: labels, matchers, times, names of intervals and files."""
NAMES = frozenset(("name", "receiver"))
FORMED = frozenset(
    (
        "chat_id", "continue", "enable_http2", "expire", "follow_redirects", "force_implicit_tls", "group_interval",
        "group_wait", "html", "insecure_skip_verify", "max_alerts", "message_thread_id", "min_version", "monospace",
        "proxy_from_environment", "repeat_interval", "require_tls", "resolve_timeout", "retry", "send_resolved",
        "short_fields", "smtp_force_implicit_tls", "smtp_require_tls", "timeout", "ttl", "type", "update_alerts",
    )
)  # fmt: skip
"""Keys whose value is shown where it has the form of one that is harmless."""
OPEN = frozenset(
    (
        "<<", "authorization", "basic_auth", "global", "http_config", "inhibit_rules", "oauth2", "receivers", "route",
        "routes", "sigv4", "smtp_tls_config", "tls_config",
    )
)  # fmt: skip
"""Keys below which each key is looked at by itself, as those are that end in `_configs`; below others nothing shows."""

_HARMLESS = re.compile(
    r"true|false|yes|no|on|off|null|~|-?[0-9]+|(?:[0-9]+(?:ms|[smhdwy]))+|TLS1[0-3]|Basic|Bearer", re.IGNORECASE
)
_FILE = re.compile(r"[\w ./@+-]+", re.ASCII)
_KEY = re.compile(r"<<|[A-Za-z][A-Za-z0-9_.-]{0,63}")
_URL = re.compile(
    r"(https?://)(?:[^/?#@]*@)?([a-z0-9.-]+(?::[0-9]{1,5})?|\[[0-9a-f:.]+\](?::[0-9]{1,5})?)", re.IGNORECASE
)
"""A URL's scheme, and its host with the port."""
_COMMENT = re.compile(r"# (?:Made by alert-refresh|Changes to this file).*")


def masked(content: bytes) -> str:
    """A configuration of Alertmanager of which only that is shown which is known to be no credential: names, labels,
    matchers, times, numbers, paths of files, and of URLs scheme and host.

    Comments are left out but for those that are written here. Of a text that is not YAML nothing is shown but the line
    where it ends to be.
    """
    source = content.decode("utf-8", "replace")
    try:
        document = read(source)
    except BadYaml as error:
        return f"# not shown: {error}\n"
    comments = [line for line in source.splitlines()[:2] if _COMMENT.fullmatch(line)]
    shown: Iterator[str] = iter(())
    if document is not None and not isinstance(document, Scalar):
        hidden = _masked(document, "")
        assert not isinstance(hidden, Scalar)
        shown = write(hidden)
    return "".join(f"{line}\n" for line in (*comments, *shown))


def _masked(node: Node, key: str) -> Node:
    """What may be shown of what is below a key that is `OPEN`."""
    if isinstance(node, Scalar):
        return _scalar(node, key)
    if isinstance(node, Sequence):
        return Sequence(tuple(_masked(one, "") for one in node.items), node.line)
    return Mapping(tuple((_key(name), _below(name.text, value)) for name, value in node.pairs), node.line)


def _below(key: str, value: Node) -> Node:
    if key in SHOWN:
        return value
    if isinstance(value, Scalar) or key in OPEN or key.endswith("_configs"):
        return _masked(value, key)
    return _hidden(value)


def _hidden(node: Node) -> Node:
    """A node of which nothing is shown but its shape and its keys."""
    if isinstance(node, Scalar):
        return text(MASK) if node.value else node
    if isinstance(node, Sequence):
        return Sequence(tuple(map(_hidden, node.items)), node.line)
    return Mapping(tuple((_key(name), _hidden(value)) for name, value in node.pairs), node.line)


def _scalar(node: Scalar, key: str) -> Scalar:
    if key in NAMES or (key in FORMED and _HARMLESS.fullmatch(node.text)):
        return node
    if key.endswith("_file") and _FILE.fullmatch(node.text):
        return node
    if (key == "url" or key.endswith("_url")) and node.text.lower().startswith(("http://", "https://")):
        return text(_url(node.text))
    return text(MASK) if node.value else node


def _url(url: str) -> str:
    """A URL to scheme and host; its host is not shown where an unescaped character of a password may be in it."""
    scheme = url[: url.index("/") + 2]
    found = _URL.match(url)
    if found is None or url[found.end() : found.end() + 1] not in ("", "/", "?", "#") or "@" in url[found.end() :]:
        return f"{scheme}{MASK}"
    return f"{scheme}{found[2]}/{MASK}"


def _key(key: Scalar) -> Scalar:
    """A key; what does not look like one is not shown."""
    return key if _KEY.fullmatch(key.text) else text(MASK)
