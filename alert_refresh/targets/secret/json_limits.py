"""Limits of JSON from a Secret: checked before it is parsed, for size, depth and encoding."""

from __future__ import annotations

import math
import re

MAX_BYTES = 1 << 20
"""Bytes that the Kubernetes API allows for all values of a Secret together."""
MAX_DEPTH = 64
MAX_ELEMENTS = 10_000

STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
TOKEN = re.compile(STRING.pattern + rb"|[\[\]{},]", re.DOTALL)
"""Strings (to skip them), brackets and commas; linear in the length of any text."""
NUMBER = re.compile(rb"-?[0-9][0-9.eE+-]*")
ROUGHLY = bytes.maketrans(b"123456789E,[ \t\r\n", b"000000000e::::::")
"""Maps characters of possibly unusual numbers to few, to recognize most texts without one quickly."""
LONG = b"0" * 17


def problem(text: bytes) -> str | None:
    """Why this text must not be parsed, or None. Other syntax errors are not detected here."""
    if len(text) > MAX_BYTES:
        return size_problem(text) if _elements(text) <= MAX_ELEMENTS else _too_many()
    return encoding_problem(text) or complexity_problem(text)


def complexity_problem(text: bytes) -> str | None:
    """Why parsing this text would cost too much, or None."""
    if len(text) <= MAX_ELEMENTS and text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return None
    return _too_complex(text)


def number_problem(text: bytes) -> str | None:
    """Why the numbers in this text, which must be JSON, cannot be used, or None.

    Readers do not agree on negative zero or on huge ones.
    """
    rough = text.translate(ROUGHLY)
    if (b":-0" in rough or b"0e" in rough or LONG in rough) and _odd_number(text):
        return "schema: has a number that is negative zero or out of range"
    return None


def size_problem(text: bytes) -> str | None:
    """Why this value is too large for a Secret, or None."""
    return "target_too_large: more than 1 MiB" if len(text) > MAX_BYTES else None


def encoding_problem(text: bytes) -> str | None:
    """Why these bytes are not valid text, or None."""
    if b"\0" in text:
        return "encoding: has a NUL byte"
    if text.isascii():
        return None
    if text.startswith(b"\xef\xbb\xbf"):
        return "encoding: begins with a byte order mark"
    try:
        text.decode()
    except UnicodeDecodeError:
        return "encoding: is not UTF-8"
    return None


def _elements(text: bytes) -> int:
    """An upper bound of the number of elements: brackets and commas in strings are counted too."""
    return text.count(b",") + text.count(b"[") + text.count(b"{")


def _too_many() -> str:
    return f"too_complex: more than {MAX_ELEMENTS} elements"


def _too_complex(text: bytes) -> str | None:
    """Count brackets and commas outside strings, and stop at the limits."""
    depth = 0
    for elements, token in enumerate(TOKEN.finditer(text)):
        first = text[token.start()]
        if first in b"[{":
            depth += 1
        elif first in b"]}":
            depth -= 1
        if depth > MAX_DEPTH:
            return f"too_complex: nested deeper than {MAX_DEPTH}"
        if elements > 4 * MAX_ELEMENTS:
            return _too_many()
    return None


def _odd_number(text: bytes) -> bool:
    for number in NUMBER.findall(STRING.sub(b'""', text)):
        if any(character in b".eE" for character in number):
            value = float(number)
            if math.isinf(value) or (value == 0 and number.startswith(b"-")):
                return True
        elif len(number) > 20 or not -(1 << 63) <= int(number) < 1 << 63 or number == b"-0":
            return True
    return False
