"""A configuration as it may be shown: every credential in it masked, also those of the template."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from alert_refresh.alertmanager.tree import BadYaml, Mapping, Node, Scalar, Sequence, read, text, write
from alert_refresh.credential import MASK

if TYPE_CHECKING:
    from collections.abc import Iterator

_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)(([^\s/?#]*)\S*)")
_WHOLE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)(([^\s/?#]*).*)", re.DOTALL)
"""A URL, and one that is the whole value: it may have blanks, in a template for example."""
_SECRET = re.compile(
    r"password|passwd|secret|token|(?:^|_)key|credential|_auth_|^auth|(?:^|_)user_?name$", re.IGNORECASE
)
_NO_SECRET = re.compile(r"_file$|_ref$|^key_?id$|^token_url$|^authorization$", re.IGNORECASE)
_ALL_BELOW = re.compile(r"headers?$|^endpoint_params$|^claims$", re.IGNORECASE)
"""Keys below which every value may be a credential."""
_COMMENT = re.compile(r"# (?:Made by alert-refresh|Changes to this file).*")


def masked(content: bytes) -> str:
    """A configuration of Alertmanager with every credential masked: URLs to scheme and host, tokens, keys, headers.

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
        hidden = _masked(document, False)
        assert not isinstance(hidden, Scalar)
        shown = write(hidden)
    return "".join(f"{line}\n" for line in (*comments, *shown))


def _masked(node: Node, secret: bool) -> Node:
    """A node with its credentials masked; all scalars below it are credentials if it is `secret`."""
    if isinstance(node, Scalar):
        return _scalar(node, secret)
    if isinstance(node, Sequence):
        return Sequence(tuple(_masked(one, secret) for one in node.items), node.line)
    return Mapping(
        tuple((key, _masked(one, secret or _is_secret(key.text, one))) for key, one in node.pairs), node.line
    )


def _scalar(node: Scalar, secret: bool) -> Scalar:
    if secret:
        return node if not node.value else text(MASK)
    hidden = node.text
    if whole := _WHOLE.fullmatch(hidden):
        hidden = _url(whole)
    elif "://" in hidden:
        hidden = _URL.sub(_url, hidden)
    return node if hidden == node.text else text(hidden)


def _url(found: re.Match[str]) -> str:
    """A URL to scheme and host; its host is not shown where an unescaped character of a password may be in it."""
    host = found[3].rpartition("@")[2] if "@" in found[3] or "@" not in found[2] else ""
    return f"{found[1]}{host}/{MASK}" if host else f"{found[1]}{MASK}"


def _is_secret(key: str, value: Node) -> bool:
    """Whether what is under a key is a credential; of a URL only a part is."""
    if _ALL_BELOW.search(key) or (key.endswith("url") and isinstance(value, Scalar) and "://" not in value.text):
        return True
    return _SECRET.search(key) is not None and _NO_SECRET.search(key) is None
