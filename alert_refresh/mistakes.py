"""What is often mistyped in a setting: found and named, so that the message says how to mend it."""

from __future__ import annotations

import difflib
import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

BOM = "\ufeff"
QUOTES = ('""', "''", "``", "\u201c\u201d", "\u2018\u2019", "\u201e\u201c")
"""Pairs of quotation marks, the typographic ones that editors make of plain ones too."""
PLACEHOLDER = re.compile(r"\$\{\w+\}|\$\(\w+\)|\{\{.*?\}\}|\A<[^<>]*>\Z", re.DOTALL)
VARIABLE = re.compile(r"\A\$[A-Za-z_]\w*")
NOT_REPLACED = "begins with the name of a variable, which nothing replaces; write the value itself"
COMMENT = re.compile(r"\s#")
LONGEST_SHOWN = 64
"""Characters of a part of a value that a message may show."""
SAME, NEAR = 0.6, 0.88
"""How similar a misspelt name is to the right one: under the same prefix, and anywhere."""
OTHER_WORDS = {
    "HOST": "BIND", "PORT": "BIND", "ADDRESS": "BIND", "ADDR": "BIND", "LISTEN": "BIND", "BIND_ADDRESS": "BIND",
    "BIND_ADDR": "BIND", "TOKEN": "ADMIN_TOKEN", "RETRIES": "MAX_RETRIES",
}  # fmt: skip
"""What other programs call a setting, without its prefix, and what it is called here."""
OTHER_NAMES = {
    "NOTIFY_URL": "ALERT_REFRESH_NOTIFY_URL", "STATE_DIR": "ALERT_REFRESH_STATE_DIR", "RULES_PATH": "RULES_FILE",
    "RULES_DIR": "RULES_FILE", "RULES_DIRECTORY": "RULES_FILE", "VIEWS_URL": "VIEWS_DATABASE_URL",
    "TARGET_SELECTOR": "TARGET_LABEL_SELECTOR", "URL_DENY_PRIVATE": "TARGET_URL_DENY_PRIVATE",
}  # fmt: skip
"""Whole names that are as likely as ours, but too unlike them to be found near, and what they are called here."""
SAME_WORDS = {
    "DIR": "DIRECTORY", "FOLDER": "DIRECTORY", "PATH": "DIRECTORY", "DB": "DATABASE", "TARGETS": "TARGET",
    "RULE": "RULES", "VIEW": "VIEWS",
}  # fmt: skip
"""Words of a name that are taken for one of ours: a name of the same words in any order is meant."""


def around(written: str, *, quotes: bool = False) -> str | None:
    """What came with a value by mistake: env files and manifests are not read by a shell. `quotes` are part of it."""
    if written.startswith(BOM):
        return "begins with a byte order mark; save the file without one"
    if not quotes and len(written) > 1 and written[0] + written[-1] in QUOTES:
        return "is wrapped in quotation marks; write it without them"
    if written != written.strip():
        return "begins or ends with a blank or a line end; write it without"
    return None


def without(written: str, *, quotes: bool = False) -> str:
    """The value without what `around` finds."""
    value = written.strip().removeprefix(BOM).strip()
    return value[1:-1].strip() if not quotes and value[:1] + value[-1:] in QUOTES and len(value) > 1 else value


def within(value: str) -> str | None:
    """What is in a text by mistake, so that it means something else than it seems."""
    if (fault := placeholder(value)) or (fault := invisible(value)):
        return fault
    if VARIABLE.match(value):
        return NOT_REPLACED
    if COMMENT.search(value):
        return "has a # after a blank; a comment needs a line of its own"
    return None


def placeholder(value: str) -> str | None:
    """Whether a value still is, or holds, what was to be replaced by one."""
    if PLACEHOLDER.search(value):
        return "has a placeholder that was not filled in, such as ${NAME}, $(NAME), <name> or {{ name }}"
    return None


def invisible(value: str) -> str | None:
    """The first character that no screen shows."""
    found = next((one for one in value if unicodedata.category(one) in ("Cc", "Cf", "Zl", "Zp")), None)
    return None if found is None else f"has the invisible character U+{ord(found):04X}"


def may_be_secret(value: str) -> bool:
    """Whether a value that is no secret by its name may hold one: a URL, or user info."""
    return bool(re.search(r"://|\S@", value))


def path(text: str) -> str | None:
    """Why this is no path: no shell replaces a `~`, and no URL is read."""
    if "://" in text:
        return "is a URL; write a path"
    return "begins with ~, which nothing replaces; write the whole path" if text.startswith("~") else None


def part(text: str) -> str:
    """A part of a value in quotation marks, ASCII on one line; what may be a secret is not shown."""
    if len(text) > LONGEST_SHOWN or may_be_secret(text):
        return "a part that is not shown"
    return ascii(text)


def choose(text: str, options: Collection[str]) -> str:
    """The end of a message: which one of a few words was meant; empty if none is near."""
    folded = {one.lower(): one for one in options}
    near = difflib.get_close_matches(text.lower(), folded, 1)
    return f"; did you mean {folded[near[0]]}?" if near else ""


def meant(name: str, known: Collection[str], prefix: str = "") -> str | None:
    """The one of the `known` settings that an unknown name means; those with the same `prefix` need be less near."""
    folded = re.sub(r"[^A-Z0-9]", "_", name.strip().upper())
    for other in (folded, folded.replace("_REFRESH_", "_", 1), folded.replace("_", "_REFRESH_", 1)):
        if other in known:
            return other
    if prefix:
        own = folded.removeprefix(prefix)
        if (other := prefix + OTHER_WORDS.get(own, own)) in known:
            return other
        names = [one.removeprefix(prefix) for one in known if one.startswith(prefix)]
        if near := difflib.get_close_matches(own, names, 1, SAME):
            return prefix + near[0]
    if (other := OTHER_NAMES.get(folded, "")) in known:
        return other
    if same := [one for one in known if "_" in folded and _words(one) == _words(folded)]:
        return same[0]
    near = difflib.get_close_matches(folded, known, 1, NEAR)
    return near[0] if near else None


def _words(name: str) -> frozenset[str]:
    return frozenset(SAME_WORDS.get(word, word) for word in name.split("_"))


def token(value: str) -> str | None:
    """Why a bearer token cannot be sent, or is not what it should be; the message never holds a part of it."""
    if fault := around(value) or placeholder(value):
        return fault
    if VARIABLE.fullmatch(value):  # a hash such as $argon2id$... is a token
        return NOT_REPLACED
    if re.match(r"[A-Z][A-Z0-9_]*=[^=]", value):
        return "begins with a name and an equals sign; write the token alone"
    if value.lower().startswith("bearer "):
        return "begins with 'Bearer'; write the token alone"
    if any(one.isspace() for one in value):
        return "has a blank or a line end, which no HTTP header can carry"
    if not value.isascii() or not value.isprintable():
        return "has a character that no HTTP header can carry; a token is printable ASCII"
    return None


def unknown(name: str, known: Collection[str], prefix: str = "") -> str | None:
    """That this is no setting, and which one was meant; None if none is near and it has no `prefix` of ours."""
    near = meant(name, known, prefix)
    if near is None and not prefix:
        return None
    return f"is not a setting of this program; {f'did you mean {near}?' if near else 'see alert-refresh serve --help'}"


def is_bare_port(name: str, value: str) -> bool:
    """Whether a `*_PORT` is not what Kubernetes sets for a Service, `tcp://10.0.0.1:8080`, but somebody's setting."""
    return bool(re.search(r"(?<!_SERVICE)_PORT$", name)) and not re.search(r"_PORT_\d+_", name) and "://" not in value
