"""The pages of `docs/` as HTML, for readers without internet: headings have the anchors that GitHub gives them."""

from __future__ import annotations

import re
from functools import lru_cache
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it.token import Token

DOCS = Path(__file__).parent / "docs"
PAGES = {path.name: path for path in sorted(DOCS.glob("*.md"))}
"""The pages by file name; a link from one to another leads to its HTML."""

DROPPED = re.compile(r"[^\w\- ]")
"""What GitHub leaves out of an anchor."""

TEMPLATE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} - alert-refresh</title>
<link rel="icon" href="../page/icon-none.png">
<link rel="stylesheet" href="../page/page.css">
</head>
<body class="runbook">
<header><a href="../">Back to the status page</a></header>
<main>
{body}</main>
</body>
</html>
"""


@lru_cache(maxsize=32)
def render(name: str) -> bytes:
    """One page as HTML, in UTF-8.

    Raises:
        KeyError: there is no such page.
    """
    from markdown_it import MarkdownIt

    text = PAGES[name].read_text(encoding="utf-8")
    markdown = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = markdown.parse(text)
    title = _adapt(tokens)
    body = markdown.renderer.render(tokens, markdown.options, {})
    return TEMPLATE.format(title=escape(title), body=body).encode()


def anchor(heading: str) -> str:
    """The anchor of a heading: `A target is stale` -> `a-target-is-stale`."""
    return DROPPED.sub("", heading.lower()).replace(" ", "-")


def _adapt(tokens: list[Token]) -> str:
    """Give headings their anchors, and take away links that lead out of the pages; returns the first heading."""
    title = ""
    for token, content in pairwise(tokens):
        if token.type == "heading_open":
            plain = "".join(child.content for child in content.children or ())
            token.attrSet("id", anchor(plain))
            title = title or plain
        elif token.type == "inline":
            _keep_own_links(token.children or [])
        token.attrs.pop("style", None)  # of an aligned column: the policy forbids it
    return title


def _keep_own_links(children: list[Token]) -> None:
    """Turn links to what is not served, such as other hosts, into emphasis of their text, and images into theirs."""
    kept: list[bool] = []
    for token in children:
        if token.type == "image":
            token.type = "text"
        if token.type == "link_open":
            page, hash_, _ = str(token.attrGet("href")).partition("#")
            kept.append(page in PAGES or (not page and bool(hash_)))
        if token.type in ("link_open", "link_close"):
            own = kept[-1] if token.type == "link_open" else kept.pop()
            if not own:
                token.tag, token.attrs = "em", {}
