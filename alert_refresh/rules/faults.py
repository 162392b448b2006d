"""Finds every fault of invalid rules, with its place. Used only after `rule.check` found that one is invalid. Pure.

A message says what was expected and never contains a value.
"""

from __future__ import annotations

import difflib
import re
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from alert_refresh.dns_label import DNS_LABEL
from alert_refresh.rules.forms import plain
from alert_refresh.rules.forms.values import FEW, LONGEST_KEY, Other, Path, Repeated, display
from alert_refresh.rules.matcher import LONGEST_EXPRESSION, Matcher, compile_all, why_bad
from alert_refresh.rules.matcher_text import BadMatcher, begins_with_operator, needs_quotes, parse
from alert_refresh.rules.rule import ID, INT32, MOST, ROUTES, BadRule, Rule, RuleFault, display_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

MOST_BAD = 10_000
"""Invalid rules that are reported; the search ends there."""
LOOK = 256
"""Rules that are checked between two checks of the deadline."""
_KINDS = (
    (bool, "true or false"),
    (int | float | Other, "a number, a date or similar"),
    (str, "text"),
    (list, "a list"),
    (dict, "a mapping"),
    (type(None), "null"),
)

_TARGET = "must be the name of a target: 1 to 63 lower-case letters, digits or -, with no - at either end"
_DIGITS = re.compile(r"[-+]?[0-9]{1,11}")
_OPERATORS = "=, !=, =~ or !~"
_PARTS = (("first", "label name"), ("second", "operator"), ("third", "value"))
_OPERATOR_IN_VALUE = 'the value begins with an operator; write a list of matchers, such as severity=~"crit.*"'

Found = tuple[Path, str]
"""The path to a fault, and its message."""


def every(raw: Sequence[object], check: Callable[[], object]) -> tuple[BadRule, ...]:
    """The invalid ones of these rules, which are plain data or `Rule`. `check` is called periodically and may raise."""
    bad: list[BadRule] = []
    seen: dict[str, int] = {}
    for index, one in enumerate(raw):
        if index % LOOK == 0:
            check()
        found = msgspec.json.decode(msgspec.json.encode(one)) if isinstance(one, Rule) else one
        faults = [RuleFault(*fault) for fault in _rule(found)]
        rule_id = display_id(found.get("id")) if isinstance(found, dict) else None
        if rule_id is not None and seen.setdefault(rule_id, index) != index:
            faults.append(RuleFault(("id",), f"is also the id of rules[{seen[rule_id]}]"))
        if len(bad) == MOST_BAD:
            break
        if faults:
            bad.append(BadRule(index, rule_id, tuple(faults)))
    return tuple(bad)


def _rule(raw: object) -> Iterator[Found]:
    if not isinstance(raw, dict):
        yield (), f"must be a mapping, not {_kind(raw)}"
        return
    yield from _repeated(raw)
    for name in islice((name for name in raw if name not in _FIELDS), FEW):
        yield (name,), _unknown(name)
    if "id" not in raw:
        yield ("id",), "is missing"
    for name, faults in _FIELDS.items():
        if name in raw:
            yield from (((name, *path), message) for path, message in faults(raw[name]))


def _repeated(raw: Mapping[Any, object]) -> Iterator[Found]:
    for key in raw.keys_repeated[:FEW] if isinstance(raw, Repeated) else ():
        yield (key,), "is repeated"


def _unknown(name: object) -> str:
    if isinstance(name, str):
        return _nearest(name[:LONGEST_KEY])
    return f"is not a field of a rule; the fields are {_NAMES}"


@lru_cache(1024)
def _nearest(name: str) -> str:
    near = difflib.get_close_matches(name.lower(), map(str, _FIELDS), 1)
    return "is not a field of a rule; " + (f"did you mean {near[0]}?" if near else f"the fields are {_NAMES}")


def _kind(raw: object) -> str:
    """The type of a value in words, without its content."""
    return next((words for types, words in _KINDS if isinstance(raw, types)), "binary data")


def _text(raw: object) -> Iterator[Found]:
    if isinstance(raw, str):
        if plain.text(raw) is None:
            yield (), "has an unpaired surrogate"
        return
    unquoted = isinstance(raw, bool | int | float | Other)
    yield (), f"must be text, not {_kind(raw)}{': write it in quotes' if unquoted else ''}"


def _name(raw: object) -> Iterator[Found]:
    yield from _text(raw)
    if plain.text(raw) is not None and not ID.fullmatch(str(raw)):
        yield (), "must be 1 to 200 letters, digits or ._:@- and start with a letter or digit"


def _id(raw: object) -> Iterator[Found]:
    yield from _name(raw)
    if isinstance(raw, str) and raw in ROUTES:
        yield (), f"must not be one of {', '.join(sorted(ROUTES))}"


def _boolean(raw: object) -> Iterator[Found]:
    if plain.boolean(raw) is None:
        yield (), f"must be true or false, not {_kind(raw)}"


def _integer(raw: object) -> Iterator[Found]:
    if plain.integer(raw) is None:
        quoted = isinstance(raw, str) and _DIGITS.fullmatch(raw)
        unquote = ", not text: write it without quotes" if quoted else ""
        yield (), f"must be a whole number from {-INT32} to {INT32 - 1} in decimal digits{unquote}"


def _match(raw: object) -> Iterator[Found]:
    if isinstance(raw, dict):
        yield from _mapping(raw, "label names to values")
        for name in islice((name for name in raw if isinstance(name, str) and needs_quotes(name)), FEW):
            yield (name,), "is not a plain label name; write a list of matchers, with this name in double quotes"
        for name in islice((n for n, v in raw.items() if isinstance(v, str) and begins_with_operator(v)), FEW):
            yield (name,), _OPERATOR_IN_VALUE
    elif isinstance(raw, list):
        count = 0
        for number, item in enumerate(raw[: MOST + 1]):
            matchers, faults = _matchers(item)
            count += len(matchers)
            yield from (((number,), message) for message in faults)
        if count > MOST or len(raw) > MOST:
            yield (), f"has more than {MOST} matchers"
    else:
        yield (), f"must be a list of matchers or a mapping of label names to values, not {_kind(raw)}"


def _matchers(raw: object) -> tuple[Sequence[Matcher], list[str]]:
    """The matchers in an item of a list, if it is valid, and the messages of its faults."""
    if isinstance(raw, str):
        try:
            found = parse(raw)
        except BadMatcher as error:
            return (), [str(error)]
        return found, [message for _, message in _text(raw)] or _expressions(found)
    one = plain.triple(raw)
    if one is None and isinstance(raw, list):
        return (), list(_parts(raw))
    if one is None:
        instead = '; write it as in severity="critical"' if isinstance(raw, dict) else ""
        return (), [f"must be a matcher in text or a list of name, operator and value, not {_kind(raw)}{instead}"]
    return (one,), _expressions([one]) if one.name else ["the label name is empty"]


def _parts(raw: Sequence[object]) -> Iterator[str]:
    """The faults of a list that is not a label name, an operator and a value."""
    if len(raw) != len(_PARTS):
        yield f"must have 3 parts: a label name, an operator ({_OPERATORS}) and a value"
        return
    for (place, what), one in zip(_PARTS, raw, strict=True):
        wrong = [message for _, message in _text(one)]
        if not wrong and what == "operator" and one not in ("=", "!=", "=~", "!~"):
            wrong = [f"must be {_OPERATORS}"]
        yield from (f"the {place} of the 3 parts, the {what}, {message}" for message in wrong)


def _expressions(found: Sequence[Matcher]) -> list[str]:
    return [message for one in found if one.is_expression for message in _expression(one.name, one.value)]


@lru_cache(1024)
def _expression(name: str, value: str) -> tuple[str, ...]:
    if not compile_all([value], {})[1]:
        return ()
    most = f"a regular expression of up to {LONGEST_EXPRESSION} characters"
    why = why_bad(value)
    return (f"the value of {display(name)} must be {most}, in the syntax of RE2{f': {why}' if why else ''}",)


def _targets(raw: object) -> Iterator[Found]:
    if not isinstance(raw, list):
        yield (), f"must be a list of names of targets, not {_kind(raw)}"
        return
    if len(raw) > MOST:
        yield (), f"has more than {MOST} targets"
    for number, name in enumerate(raw[:MOST]):
        if not isinstance(name, str):
            yield from (((number,), message) for _, message in _text(name))
        elif not DNS_LABEL.fullmatch(name):
            yield (number,), _TARGET


def _annotations(raw: object) -> Iterator[Found]:
    yield from _mapping(raw, "text to text")


def _mapping(raw: object, what: str) -> Iterator[Found]:
    if not isinstance(raw, dict):
        yield (), f"must be a mapping of {what}, not {_kind(raw)}"
        return
    yield from _repeated(raw)
    if len(raw) > MOST:
        yield (), f"has more than {MOST} keys"
    for key, value in islice(raw.items(), MOST):
        if plain.text(key) is None:
            yield (key,), "the key must be text: write it in quotes"
        else:
            yield from (((key,), message) for _, message in _text(value))


_FIELDS: Mapping[object, Callable[[object], Iterator[Found]]] = {
    "id": _id,
    "family": _name,
    "enabled": _boolean,
    "priority": _integer,
    "match": _match,
    "targets": _targets,
    "description": _text,
    "annotations": _annotations,
}
_NAMES = ", ".join(map(str, _FIELDS))
