"""The shapes in which a Secret may hold a target, each turned into the fields that `config` has.

    config                     a JSON object
    target.json, target        the same; `filters` may stand for `filter_config`
    flat                       keys name, type, url, format, enabled, headers, api_key, ...
    older                      keys target-name, webhook-url, auth-header, header-<Name>, filter-severity, ...

Of several in one Secret the first in this order counts.
"""

from __future__ import annotations

import binascii
import math
import re
from typing import TYPE_CHECKING, Any

from alert_refresh.engine import Fault
from alert_refresh.targets.secret import json_text
from alert_refresh.targets.secret.fields import (
    FIELDS,
    FORMATS,
    FORMATS_OF_TYPE,
    INVALID,
    TYPES,
    is_name,
    unknown_fields,
)
from alert_refresh.targets.secret.json_limits import MAX_BYTES, encoding_problem, size_problem
from alert_refresh.targets.secret.words import listed, nearest, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

JSON_SHAPES = ("config", "target.json", "target")
FLAT_KEYS = (
    "name", "type", "url", "format", "enabled", "headers", "api_key", "auth_token", "routing-key", "filter_config",
)  # fmt: skip
OLDER_KEYS = (
    "target-name", "webhook-url", "format", "enabled", "auth-header", "api-key", "token", "filter-severity",
    "filter-namespaces", "exclude-noise", "min-confidence", "alert-name-pattern",
)  # fmt: skip
OLDER_HEADER = "header-"
OLDER_CREDENTIALS = {"auth-header": "", "api-key": "Bearer ", "token": "Token "}
"""Keys that set the header Authorization, and what is put before their values."""
OLDER_KEY = frozenset(("webhook-url", "target-name"))
"""Keys that make a Secret one of the older shape."""
ANY_LINES = ("headers", "filter_config", "filter-severity", "filter-namespaces")
"""Flat keys whose values may end with a line end: they mean the same without it."""
NEXT_PAIR = re.compile(r",[ \t]*(?:[A-Za-z][\w-]*:[ \t]|(?![0-9A-Fa-f]{1,4}:)[A-Za-z][\w-]*:(?!//))", re.ASCII)
"""Another header behind a comma in a `K: V` line; neither a URL nor an IPv6 address is one."""
SCHEME = re.compile(r"(?:Bearer|Token|Basic)[\s:]", re.IGNORECASE)
"""What a credential does not begin with where the scheme is put before it."""
ROUTING_KEY_HEADER = "X-Routing-Key"

TWICE = "bad_base64: is base64 where its content is expected: encoded twice, or encoded under stringData"

ENCRYPTED = "ENC[AES256_GCM,"
"""How a value begins that SOPS encrypted."""
SOPS = "schema: is still encrypted by SOPS; decrypt it first"

BOOLEANS = {"true": True, "false": False}
BOOLEAN_KEYS = ("enabled", "exclude-noise")
NAME_KEYS = ("name", "target-name")
WORDS: Mapping[str, Collection[str]] = {"type": TYPES, "format": FORMATS} | dict.fromkeys(BOOLEAN_KEYS, BOOLEANS)


def shape_of(keys: Iterable[str]) -> str:
    """The shape of a Secret with these keys; `config` if it has none of them."""
    present = set(keys)
    for shape in JSON_SHAPES:
        if shape in present:
            return shape
    if present & {"url", "type"}:
        return "flat"
    return "older" if present & OLDER_KEY else "config"


def keys_of(shape: str, keys: Iterable[str]) -> list[str]:
    """The keys of a Secret that its shape uses."""
    if shape in JSON_SHAPES:
        return [key for key in keys if key == shape]
    if shape == "flat":
        return [key for key in keys if key in FLAT_KEYS]
    return [key for key in keys if key in OLDER_KEYS or key.startswith(OLDER_HEADER)]


def decode(data: Mapping[str, object], strings: Mapping[str, object], faults: list[Fault]) -> dict[str, bytes | None]:
    """The values that a Secret's shape uses, decoded from base64 (`data`) or as given (`strings`, which win).

    A value that cannot be decoded is None, with a fault; so is one that the shape does not use. Whitespace in base64 is
    ignored, since files wrap it; any other character outside the alphabet is a fault.
    """
    keys = {**data, **strings}
    values: dict[str, bytes | None] = dict.fromkeys(keys)
    for key in keys_of(shape_of(keys), keys):
        value = keys[key]
        if not isinstance(value, str):
            faults.append(Fault(key, "schema: is not a string"))
        elif key in strings:
            values[key] = value.encode("utf-8", "surrogatepass")
        else:
            try:
                values[key] = binascii.a2b_base64("".join(value.split()), strict_mode=True)
            except ValueError:
                faults.append(Fault(key, _not_base64(value)))
    return values


def _not_base64(value: str) -> str:
    """What is wrong with a value that is not base64; one with a letter or digit may be plain text."""
    if value.startswith(ENCRYPTED):
        return SOPS
    hint = "; plain text belongs under stringData" if any(map(str.isalnum, value)) else ""
    return f"bad_base64: is not valid base64{hint}"


def read(values: Mapping[str, bytes | None], secret: str, faults: list[Fault]) -> tuple[str, dict[str, object] | None]:
    """The shape and its fields, not validated yet; None if there are none. Faults are added to `faults`."""
    shape = shape_of(values)
    if shape in JSON_SHAPES:
        return shape, _json_object(shape, values, faults)
    faults += _unknown_keys(shape, values)
    # Sorted, so that the faults do not depend on the order of a protobuf message's map, which is arbitrary.
    texts = {key: _text(key, values[key], faults) for key in sorted(keys_of(shape, values))}
    raw = (_flat if shape == "flat" else _older)(texts, secret, faults)
    if shape == "flat" and "url" not in values and "webhook-url" in values:
        raw["url"] = INVALID
        faults.append(Fault("webhook-url", "schema: belongs to the older shape, without type; beside type it is url"))
    return shape, raw


def _unknown_keys(shape: str, values: Mapping[str, object]) -> list[Fault]:
    """A fault for each key of `data` that the Secret's shape does not use."""
    read = {*keys_of(shape, values), *(keys_of("older", values) if values.keys() & OLDER_KEY else ())}
    known = FLAT_KEYS if shape == "flat" else OLDER_KEYS
    return unknown_fields((key for key in values if key not in read), known, f"key of the {shape} shape")


def _json_object(shape: str, values: Mapping[str, bytes | None], faults: list[Fault]) -> dict[str, object] | None:
    if shape not in values:
        faults.append(Fault(shape, _no_target(values)))
        return None
    text = values[shape]
    if text is None:
        return None
    if not text.strip() or text.startswith(ENCRYPTED.encode()):
        faults.append(Fault(shape, SOPS if text.strip() else "missing_config: is empty"))
        return None
    value = _load(shape, text, faults)
    if not isinstance(value, dict):
        if value is not INVALID:
            faults.append(Fault(shape, "schema: is not a JSON object"))
        return None
    faults += unknown_fields(value, FIELDS if shape == "config" else (*FIELDS, "filters"))
    if shape != "config" and "filters" in value:
        if "filter_config" in value:
            faults.append(Fault("filters", "schema: filter_config is there too and means the same; keep one of them"))
        value["filter_config"] = value["filters"]
    return value


def _no_target(keys: Iterable[str]) -> str:
    """The message for a Secret without a key that is read."""
    read = f"{listed(JSON_SHAPES)}; or url and type; or webhook-url and target-name"
    for key in keys:
        if near := nearest(key.rpartition(".")[0] or key, JSON_SHAPES) or nearest(key, JSON_SHAPES):
            return (
                f"missing_config: key {shown(key)} is not read, did you mean '{near}'? The keys that are read: {read}"
            )
    return f"missing_config: has none of the keys that are read: {read}"


def _flat(texts: Mapping[str, Any], secret: str, faults: list[Fault]) -> dict[str, object]:
    raw = {"name": secret} | {key: texts[key] for key in ("name", "type", "url", "format") if key in texts}
    if "format" not in raw:
        raw["format"] = raw["type"] if raw.get("type") in FORMATS_OF_TYPE else INVALID
    if "enabled" in texts:
        raw["enabled"] = _converted("enabled", texts["enabled"], BOOLEANS.get, "true or false", faults)
    headers = _header_pairs(texts["headers"], faults) if "headers" in texts else []
    for key, name, prefix in (
        ("api_key", "Authorization", "Bearer "),
        ("auth_token", "Authorization", "Bearer "),
        ("routing-key", ROUTING_KEY_HEADER, ""),
    ):
        _add_header(texts, key, name, prefix, headers, faults)
    raw["headers"] = tuple(headers)
    if "filter_config" in texts:
        raw["filter_config"] = texts["filter_config"]
        if texts["filter_config"] is not INVALID:
            raw["filter_config"] = _load("filter_config", texts["filter_config"].encode(), faults)
    return raw


def _older(texts: Mapping[str, Any], secret: str, faults: list[Fault]) -> dict[str, object]:
    """The keys of this program's predecessor, with their meaning there."""
    format_ = texts.get("format", "alertmanager")
    raw: dict[str, object] = {
        "name": texts.get("target-name", secret),
        "type": format_ if format_ in ("rootly", "pagerduty", "slack", INVALID) else "webhook",
        "format": format_,
    }
    if "webhook-url" in texts:
        raw["url"] = texts["webhook-url"]
    if "enabled" in texts:
        raw["enabled"] = _converted("enabled", texts["enabled"], BOOLEANS.get, "true or false", faults)
    headers: list[tuple[str, str]] = []
    present = [key for key in OLDER_CREDENTIALS if key in texts]
    for key in present[:1]:
        _add_header(texts, key, "Authorization", OLDER_CREDENTIALS[key], headers, faults)
    faults += [Fault(key, f"bad_header: {present[0]} is there too and sets the same header") for key in present[1:]]
    for key in texts:
        if key.startswith(OLDER_HEADER):
            _add_header(texts, key, key.removeprefix(OLDER_HEADER), "", headers, faults)
    raw["headers"] = tuple(headers)
    raw["filter_config"] = _older_filters(texts, faults)
    return raw


def _older_filters(texts: Mapping[str, Any], faults: list[Fault]) -> dict[str, object]:
    filters: dict[str, object] = {}
    for key, field, convert, expected in (
        ("filter-severity", "severity", lambda text: _words(text.lower()), "a comma list"),
        ("filter-namespaces", "namespaces", _words, "a comma list"),
        ("exclude-noise", "exclude_noise", BOOLEANS.get, "true or false"),
        ("min-confidence", "min_confidence", _number, "a number"),
        ("alert-name-pattern", "alert_name_pattern", str, "a pattern"),
    ):
        if key in texts:
            value = _converted(key, texts[key], convert, expected, faults)
            if value is not INVALID:
                filters[field] = value
    return filters


def _header_pairs(text: Any, faults: list[Fault]) -> list[tuple[str, Any]]:
    """Headers from a JSON object, from `k=v,k=v`, or from `K: V` lines; what comes first, `=` or `:`, tells."""
    if text is INVALID or not text.strip():
        return []
    text = text.strip()
    if text.startswith("{"):
        value = _load("headers", text.encode(), faults)
        return list(value.items()) if isinstance(value, dict) else []
    lines = ":" in text.partition("=")[0]
    pieces = text.replace("\r\n", "\n").split("\n") if lines else text.split(",")
    split = [piece.partition(":" if lines else "=") for piece in pieces if piece.strip()]
    if not all(separator for _, separator, _ in split):
        faults.append(Fault("headers", "schema: is neither a JSON object, nor k=v,k=v, nor K: V lines"))
        return []
    if lines and any(NEXT_PAIR.search(value) for _, _, value in split):
        faults.append(Fault("headers", "schema: has K: V pairs with a comma between them; write each on its own line"))
        return []
    return [(name.strip(), value.strip(" \t")) for name, _, value in split]


def _add_header(
    texts: Mapping[str, Any], key: str, name: str, prefix: str, headers: list[tuple[str, Any]], faults: list[Fault]
) -> None:
    """The header that a separate key defines."""
    text = texts.get(key, INVALID)
    if text is INVALID:
        return
    if not text.strip():
        faults.append(Fault(key, "bad_header: is empty"))
    elif text != text.strip() and not key.startswith(OLDER_HEADER):
        faults.append(Fault(key, "bad_header: begins or ends with a blank"))
    elif prefix and SCHEME.match(text):
        faults.append(
            Fault(key, f"bad_header: begins with a scheme; '{prefix}' is put before it: write the token alone")
        )
    else:
        headers.append((name, prefix + text))


def _converted(key: str, text: Any, convert: Callable[[str], object], expected: str, faults: list[Fault]) -> object:
    """The converted text; INVALID with a fault if `convert` returns None."""
    if text is INVALID:
        return INVALID
    value = convert(text.lower() if convert == BOOLEANS.get else text)
    if value is None:
        faults.append(Fault(key, f"schema: is not {expected}"))
        return INVALID
    return value


def _text(key: str, value: bytes | None, faults: list[Fault]) -> Any:
    """A flat value as text; INVALID with a fault if it is not text."""
    if value is None:
        return INVALID
    fault = size_problem(value) or encoding_problem(value) or _flat_problem(key, value)
    if fault:
        faults.append(Fault(key, fault))
        return INVALID
    return value.decode()


def _flat_problem(key: str, value: bytes) -> str | None:
    """Faults in the notation of a flat value."""
    if value.endswith((b"\n", b"\r")) and key not in ANY_LINES:
        return "line_end: ends with a line end, which belongs to the value; write it without (echo -n, printf)"
    if value.startswith(ENCRYPTED.encode()):
        return SOPS
    inner = _from_base64(value)
    if inner.lower().startswith((b"http://", b"https://")) or _is_word(key, inner.decode("latin-1")):
        # A good name may be base64 too, of something that happens to look like a name.
        return None if key in NAME_KEYS and is_name(value.decode()) else TWICE
    return None


def _is_word(key: str, text: str) -> bool:
    """Whether a text would be a value of this key that takes few texts, or a name."""
    if key in NAME_KEYS:
        return is_name(text)
    return (text.lower() if key in BOOLEAN_KEYS else text) in WORDS.get(key, ())


def _from_base64(value: bytes) -> bytes:
    """The content of a value that is base64, without whitespace; empty if it is not base64."""
    try:
        return binascii.a2b_base64(b"".join(value.split()), strict_mode=True).strip()
    except ValueError:
        return b""


def _load(key: str, text: bytes, faults: list[Fault]) -> Any:
    try:
        return json_text.load(text)
    except json_text.Unusable as error:
        faults.append(Fault(key, TWICE if _holds_base64_of_json(text) else str(error)))
        return INVALID


def _holds_base64_of_json(text: bytes) -> bool:
    """Whether a text is a JSON object in base64, however often it was encoded."""
    text = _from_base64(text) if len(text) <= MAX_BYTES else b""
    while text and not text.startswith(b"{"):
        text = _from_base64(text)
    return bool(text)


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
