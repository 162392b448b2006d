"""A target's `filter_config` to matchers, or the faults of its delivery."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from alert_refresh.alertmanager.matchers import Conjunction
from alert_refresh.alertmanager.model import matcher_problem
from alert_refresh.engine import Fault
from alert_refresh.rules.matcher import Matcher
from alert_refresh.targets.secret.json_object import JsonObject
from alert_refresh.targets.secret.words import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FIELD = "filter_config"
LISTS = {"severity": "severity", "namespaces": "namespace"}
"""Keys with one or several values, and the labels they are about."""
NO_FILTER = {"exclude_noise": False, "min_confidence": 0}
"""Keys that no matcher can stand for, and the value with which they exclude nothing."""
_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$]")
_CLASS = r"\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]"
_ANCHOR = re.compile(rf"(?s)(?:\\Q.*?(?:\\E|\Z)|\\[^AQz]|{_CLASS}|[^\\^$\[])*+(?:[\^$]|\\[Az])")
"""The beginning of a regular expression, to the first anchor that is neither escaped nor in a class."""
_WILDCARD = re.compile(r"[*?]")


class _Unusable(ValueError):
    """Raised when a key cannot be a matcher: its name or place, and the reason."""


def filters(config: Mapping[str, Any], utf8: bool) -> tuple[tuple[Matcher, ...], tuple[Fault, ...]]:
    """The matchers that stand for a `filter_config`, and a fault for each key that cannot be one.

    `utf8`: whether label names may have any character. A key that is null is as good as absent.
    """
    matchers: list[Matcher] = []
    faults: list[Fault] = []
    for key, value in (config.decode() if isinstance(config, JsonObject) else config).items():
        if value is None:
            continue
        try:
            for matcher in _matchers(key, value):
                if problem := matcher_problem(matcher, utf8):
                    raise _Unusable(f"{shown(key)}: {problem}")
                matchers.append(matcher)
        except _Unusable as error:
            faults.append(Fault(FIELD, f"undeliverable: {error}"))
    if not faults and Conjunction(matchers).impossible:
        faults.append(Fault(FIELD, "undeliverable: no alert can have what all its keys ask for"))
    return tuple(matchers), tuple(faults)


def _matchers(key: str, value: Any) -> Iterator[Matcher]:
    if key in LISTS:
        yield _words(key, value)
    elif key == "labels":
        if not isinstance(value, dict):
            raise _Unusable("'labels' is not a mapping of label names to values")
        for name, one in value.items():
            yield _any_of(name, one, f"a label under {shown(key)}")
    elif key == "alert_name_pattern":
        yield _pattern(value)
    elif key not in NO_FILTER:
        raise _Unusable(f"{shown(key)} is no filter that Alertmanager can apply")
    elif value != NO_FILTER[key]:
        raise _Unusable(f"{shown(key)} cannot be expressed by matchers of labels")


def _words(key: str, value: Any) -> Matcher:
    matcher = _any_of(LISTS[key], value, shown(key))
    values = value if isinstance(value, list) else [value]
    if "" in values:
        raise _Unusable(f"{shown(key)} has an empty text")
    if any(map(_WILDCARD.search, values)):
        raise _Unusable(f"{shown(key)} has a wildcard, which would be taken as it is written")
    return matcher


def _any_of(label: str, value: Any, place: str) -> Matcher:
    """The matcher of a label that has one of some values."""
    values = list(dict.fromkeys(value)) if isinstance(value, list) and all(map(_is_text, value)) else [value]
    if not values or not all(map(_is_text, values)):
        raise _Unusable(f"{place} is neither a text nor a list of texts that is not empty")
    if len(values) == 1:
        return Matcher(label, "=", values[0])
    return Matcher(label, "=~", "|".join(_SPECIAL.sub(r"\\\g<0>", one) for one in values))


def _pattern(value: Any) -> Matcher:
    """The matcher of a pattern: it is anchored, as Alertmanager's are; one with an anchor of its own, such as `^Node`,
    is searched for, since it would mean nothing otherwise.
    """
    if not _is_text(value) or not value:
        raise _Unusable("'alert_name_pattern' is no text")
    return Matcher("alertname", "=~", f".*(?:{value}).*" if _ANCHOR.match(value) else value)


def _is_text(value: object) -> bool:
    return isinstance(value, str)
