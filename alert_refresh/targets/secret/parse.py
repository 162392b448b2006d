"""From the data of one Secret to a target, or to everything that is wrong with it.

A good `config` takes the straight path: one typed decode and a few checks. Whatever does not fit is read again by
`shapes`, which knows every shape and collects every fault.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

from alert_refresh.credential import Credential
from alert_refresh.targets.secret import json_limits, shapes, url
from alert_refresh.targets.secret.fields import PAIRS, check, good_headers, name_problem
from alert_refresh.targets.secret.json_object import JsonObject, canonical
from alert_refresh.targets.target import NO_FILTERS, NO_HEADERS, Target, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from alert_refresh.engine import Fault

QUOTES_BESIDE = canonical([{}, "", "", "config"]).count(b'"')
"""Quotation marks in the content of a target that are not of its `config`."""


class _Config(msgspec.Struct, forbid_unknown_fields=True, kw_only=True, gc=False):
    """The fields of a good `config`, in the order of their names, as in the canonical text of a dict."""

    enabled: bool | msgspec.UnsetType = msgspec.UNSET
    filter_config: Any = None
    format: str
    headers: dict[str, str] | None = None
    name: str
    type: str
    url: str


class _Plain(_Config, kw_only=True, gc=False):
    """The same with filters in which there is no number and nothing that is nested deeply."""

    filter_config: dict[str, str | bool | list[str] | dict[str, str | list[str]] | None] | None = None


class _Any(_Config, kw_only=True, gc=False):
    """The same with any filters."""

    filter_config: dict[str, Any] | None = None


_decode_plain = msgspec.json.Decoder(_Plain).decode
_decode_any = msgspec.json.Decoder(_Any).decode


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
    raw = _decoded(text)
    if (
        raw is None
        or (raw.type, raw.format) not in PAIRS
        or name_problem(raw.name)
        or url.check(raw.url, deny_private=deny_private)
        or (raw.headers and not good_headers(raw.headers))
    ):
        return None
    headers, filters = raw.headers, NO_FILTERS
    absent = (headers is None) + (raw.filter_config is None) + (raw.enabled is msgspec.UNSET)
    if raw.enabled is msgspec.UNSET:
        raw.enabled = True
    if raw.filter_config:
        filters = JsonObject(canonical(raw.filter_config))
    raw.filter_config, raw.headers = msgspec.Raw(filters.text), headers or {}
    content = canonical((raw, namespace, secret, "config"))
    if text.count(b'"') + 2 * absent + QUOTES_BESIDE != content.count(b'"') or b"\\u" in text:
        return None
    return Target(
        raw.name,
        raw.type,
        raw.format,
        Credential(raw.url),
        raw.enabled,
        _masked(headers) if headers else NO_HEADERS,
        filters,
        namespace,
        secret,
        "config",
        None,
        (),
        digest_of(content),
    )


def _decoded(text: bytes) -> _Config | None:
    """The fields of a `config` within all limits; None for any other."""
    if len(text) > json_limits.MAX_ELEMENTS:
        return None
    try:
        plain: _Config = _decode_plain(text)
    except (ValueError, RecursionError):
        return _decoded_any(text)
    return plain


def _decoded_any(text: bytes) -> _Config | None:
    try:
        raw: _Config = _decode_any(text)
    except (ValueError, RecursionError):
        return None
    return None if json_limits.complexity_problem(text) or json_limits.number_problem(text) else raw


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
        _masked(dict(headers)),
        JsonObject(canonical(filters)) if filters else NO_FILTERS,
        namespace,
        secret,
        shape,
    )


def _masked(headers: Mapping[str, str]) -> Mapping[str, Credential]:
    return MappingProxyType(dict(zip(headers, map(Credential, headers.values()), strict=True)))
