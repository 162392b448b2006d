"""From the data of one Secret to a target, or to everything that is wrong with it.

A good `config` takes the straight path: one typed decode and a few checks. Whatever does not fit is read again by
`shapes`, which knows every shape and collects every fault.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from alert_refresh.credential import Credential, Credentials
from alert_refresh.targets.secret import json_limits, shapes, url
from alert_refresh.targets.secret.fields import PAIRS, Format, Type, check, good_headers, is_name
from alert_refresh.targets.secret.json_object import JsonObject, canonical
from alert_refresh.targets.target import NO_FILTERS, NO_HEADERS, Target, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from alert_refresh.engine import Fault

QUOTES_BESIDE = canonical([{}, "", "", "config"]).count(b'"')
"""Quotation marks in the content of a target that are not of its `config`."""
CACHED_FILTERS = 512
"""Of so many different filters, with so many bytes at most, what is made of them is kept: targets share few."""
NULL = msgspec.Raw(b"null")
MAX_STRAIGHT = min(json_limits.MAX_ELEMENTS, url.MAX_LENGTH)
"""Bytes of a `config` in which nothing can be too long or too much."""
BACKSLASH, DELETE = b"\\\x7f"


class _Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    """The fields of a good `config`, in the order of their names, as in the canonical text of a dict."""

    enabled: bool | msgspec.UnsetType = msgspec.UNSET
    filter_config: msgspec.Raw = NULL
    format: Format
    headers: dict[str, str] | None = None
    name: str
    type: Type
    url: str


_decode = msgspec.json.Decoder(_Config).decode
_decode_filters = msgspec.json.Decoder(dict[str, Any]).decode


def parse(
    data: Mapping[str, bytes | None],
    faults: Iterable[Fault] = (),
    *,
    namespace: str,
    secret: str,
    deny_private: bool = False,
) -> Target | tuple[Fault, ...]:
    """The target in the decoded values of one Secret, or everything that is wrong with it.

    A value that could not be decoded is None, and why is in `faults`.
    """
    text = data.get("config")
    if text and (target := _straight(text, namespace, secret, deny_private)):
        return target
    return _thorough(data, [*faults], namespace, secret, deny_private)


def parse_base64(
    data: Mapping[str, object] | None,
    string_data: Mapping[str, object] | None = None,
    *,
    namespace: str,
    secret: str,
    deny_private: bool = False,
) -> Target | tuple[Fault, ...]:
    """The same from `data` in base64, as a Secret has it, and the plain `stringData` of a manifest, which wins."""
    faults: list[Fault] = []
    values = shapes.decode(data or {}, string_data or {}, faults)
    return parse(values, faults, namespace=namespace, secret=secret, deny_private=deny_private)


def _straight(text: bytes, namespace: str, secret: str, deny_private: bool) -> Target | None:
    """The target in a good `config`, None for any other.

    A repeated key is noticed since what was decoded has less quotation marks than the text then: `content` has those
    of fields that are absent in addition, and an escape of a quotation mark is left to the thorough path.
    """
    if len(text) > MAX_STRAIGHT:
        return None
    try:
        raw = _decode(text)
    except (ValueError, RecursionError):
        return None
    name, headers = raw.name, raw.headers
    printable = text.isascii() and BACKSLASH not in text and DELETE not in text
    if (
        (raw.type, raw.format) not in PAIRS
        or not is_name(name)
        or not url.is_good(raw.url, deny_private)
        or (headers and not good_headers(headers, printable=printable))
        or (filters := _filters(bytes(raw.filter_config))) is None
    ):
        return None
    absent = (headers is None) + (raw.filter_config == NULL) + (raw.enabled is msgspec.UNSET)
    if raw.enabled is msgspec.UNSET:
        raw.enabled = True
    raw.filter_config, raw.headers = msgspec.Raw(filters.text), headers or {}
    content = canonical((raw, namespace, secret, "config"))
    if text.count(b'"') + 2 * absent + QUOTES_BESIDE != content.count(b'"') or (not printable and b"\\u" in text):
        return None
    return Target(
        secret if name == secret else name, raw.type, raw.format, Credential(raw.url), raw.enabled,
        Credentials(headers) if headers else NO_HEADERS, filters, namespace, secret, "config", None, (),
        digest_of(content),
    )  # fmt: skip


def _filters(text: bytes) -> JsonObject | None:
    """The filters in a part of a `config`; None if they must be looked at closely."""
    return _known_filters(text) if len(text) <= CACHED_FILTERS else _good_filters(text)


def _good_filters(text: bytes) -> JsonObject | None:
    if text in (b"null", b"{}"):
        return NO_FILTERS
    if text.count(b"[") + text.count(b"{") >= json_limits.MAX_DEPTH or json_limits.number_problem(text):
        return None
    try:
        return JsonObject(canonical(_decode_filters(text)))
    except (ValueError, RecursionError):
        return None


_known_filters = lru_cache(CACHED_FILTERS)(_good_filters)


def _thorough(
    values: Mapping[str, bytes | None], faults: list[Fault], namespace: str, secret: str, deny_private: bool
) -> Target | tuple[Fault, ...]:
    """The target in a Secret of any shape, or all faults."""
    shape, raw = shapes.read(values, secret, faults)
    if raw is not None:
        faults += check(raw, deny_private=deny_private)
    if faults or raw is None:
        return tuple(faults)
    fields: dict[str, Any] = raw
    headers = fields.get("headers") or {}
    filters = fields.get("filter_config")
    return Target(
        fields["name"],
        fields["type"],
        fields["format"],
        Credential(fields["url"]),
        fields.get("enabled", True),
        Credentials(dict(headers)) if headers else NO_HEADERS,
        JsonObject(canonical(filters)) if filters else NO_FILTERS,
        namespace,
        secret,
        shape,
    )
