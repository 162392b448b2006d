"""What a target is, and how one is made from a Secret. Pure: nothing is read or looked up here.

A good `config` takes the fast path: one typed decode and a few checks. Whatever does not fit takes the slow
one, which knows every shape and collects every fault.
"""

from __future__ import annotations

from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import msgspec

from alert_refresh.credential import Credential
from alert_refresh.targets.secret import json_limits as json_text
from alert_refresh.targets.secret import shapes
from alert_refresh.targets.secret import url as urls
from alert_refresh.targets.secret.fields import PAIRS, check, header_problems, name_problem
from alert_refresh.targets.secret.json_limits import JsonObject

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from alert_refresh.engine import Fault

NO_HEADERS: Mapping[str, Credential] = MappingProxyType({})
NO_FILTERS: Mapping[str, Any] = JsonObject()
DIGITS = b"0123456789"


class Target(msgspec.Struct, frozen=True, gc=False):
    """One place alerts are published to.

    `namespace`, `secret` and `shape` say where it was read from. A stale target is the last valid version:
    `stale_since` is Unix seconds, `faults` what is wrong with the Secret now. `digest` names the content, which
    is everything but those two; it is made when it is not given.
    """

    name: str
    type: str
    format: str
    url: Credential
    enabled: bool = True
    headers: Mapping[str, Credential] = NO_HEADERS
    filter_config: Mapping[str, Any] = NO_FILTERS
    namespace: str = ""
    secret: str = ""
    shape: str = ""
    stale_since: float | None = None
    faults: tuple[Fault, ...] = ()
    digest: bytes = b""

    def __post_init__(self) -> None:
        if not self.digest:
            config = msgspec.convert(as_config(self), _Config)
            msgspec.structs.force_setattr(self, "digest", _digest(config, self.namespace, self.secret, self.shape))

    def __repr__(self) -> str:
        return f"Target(name={self.name!r}, namespace={self.namespace!r}, secret={self.secret!r})"

    def stale(self, since: float, faults: tuple[Fault, ...]) -> Target:
        """This target as the last valid version of a Secret that has these faults now."""
        return msgspec.structs.replace(self, stale_since=since, faults=faults)


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
    if text and (target := _fast(text, namespace, secret, deny_private)):
        return target
    return _slow(data, [*faults], namespace, secret, deny_private)


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


def as_config(target: Target) -> dict[str, object]:
    """The `config` object this target could be read from, with its credentials in the clear."""
    return {
        "name": target.name,
        "type": target.type,
        "url": target.url.reveal(),
        "format": target.format,
        "enabled": target.enabled,
        "headers": {name: value.reveal() for name, value in target.headers.items()},
        "filter_config": dict(target.filter_config),
    }


class _Config(msgspec.Struct, gc=False):
    """The fields of a good `config`."""

    name: str
    type: str
    url: str
    format: str
    enabled: bool = True
    headers: dict[str, str] | None = None
    filter_config: dict[str, Any] | None = None


class _Exact(_Config, forbid_unknown_fields=True, gc=False):
    """The same and nothing else, so that all numbers are in the filters."""


_decode = msgspec.json.Decoder(_Config).decode
_decode_exact = msgspec.json.Decoder(_Exact).decode


def _fast(text: bytes, namespace: str, secret: str, deny_private: bool) -> Target | None:
    """The target in a good `config`, None for any other."""
    if len(text) > json_text.MAX_ELEMENTS:
        return None
    try:
        raw: _Config = _decode_exact(text)
        plain = True
    except (ValueError, RecursionError):
        if json_text.problem(text):
            return None
        try:
            raw = _decode(text)
        except ValueError:
            return None
        plain = False
    raw.headers = raw.headers or {}
    raw.filter_config = raw.filter_config or {}
    filters = json_text.canonical(raw.filter_config) if raw.filter_config else b""
    if len(filters) > json_text.MAX_DEPTH and json_text.complexity_problem(text):
        return None
    if (not plain or len(filters.translate(None, DIGITS)) < len(filters)) and json_text.number_problem(text):
        return None
    if (
        (raw.type, raw.format) not in PAIRS
        or name_problem(raw.name)
        or urls.check(raw.url, deny_private=deny_private)
        or (raw.headers and header_problems(raw.headers.items()))
    ):
        return None
    return Target(
        raw.name,
        raw.type,
        raw.format,
        Credential(raw.url),
        raw.enabled,
        _headers(raw.headers.items()) if raw.headers else NO_HEADERS,
        JsonObject(filters) if filters else NO_FILTERS,
        namespace,
        secret,
        "config",
        None,
        (),
        _digest(raw, namespace, secret, "config"),
    )


def _slow(
    values: Mapping[str, bytes | None], faults: list[Fault], namespace: str, secret: str, deny_private: bool
) -> Target | tuple[Fault, ...]:
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
        _headers(headers.items() if isinstance(headers, dict) else headers),
        JsonObject(json_text.canonical(filters)) if filters else NO_FILTERS,
        namespace,
        secret,
        shape,
    )


def _headers(pairs: Any) -> Mapping[str, Credential]:
    return MappingProxyType({name: Credential(value) for name, value in pairs})


def _digest(config: _Config, namespace: str, secret: str, shape: str) -> bytes:
    """Equal for equal content, whatever the order of keys it was written in."""
    content = msgspec.json.encode((config, namespace, secret, shape), order="deterministic")
    return sha256(content).digest()
