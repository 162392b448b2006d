"""Rules as people write them: YAML (a list, or a mapping with the list under `rules`), JSON, or JSON lines."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING, Any

import msgspec
import yaml

from alert_refresh.engine import Permanent

if TYPE_CHECKING:
    from collections.abc import Iterable

    from alert_refresh.rules.rule import Rule

LARGEST = 32 * 1024 * 1024
"""Bytes of text that are parsed; more rules than that belong in a warm file."""
DEEPEST = 20
"""Collections within each other in YAML; a rule has 3 or 4."""

_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_DOCUMENT = re.compile(rb"(\xef\xbb\xbf)?\s*(\[|\{\s*\"rules\")")
_BEGINS_AS_JSON = re.compile(rb"\s*[{\[]\s*[{\[\"\]]")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """YAML without merge keys, which copy what they name. Anchors and aliases stay; see `_check`."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, "merge keys are not read", key.start_mark)


def read(data: bytes) -> list[object]:
    """The rules of a text as plain data, not yet looked at.

    Raises:
        Permanent: too large, or of none of these forms (error types `too_large`, `parse`).
    """
    if len(data) > LARGEST:
        raise Permanent(f"the rules file is larger than {LARGEST >> 20} MiB of text; pack it", "too_large")
    data = data.removeprefix(b"\xef\xbb\xbf")
    found = _json(data) if _BEGINS_AS_JSON.match(data) else _yaml(data)
    if isinstance(found, dict) and list(found) == ["rules"]:
        found = found["rules"]
    if found is None:
        raise Permanent("the rules file is empty; to have no rules write []", "parse")
    if not isinstance(found, list):
        raise Permanent("the rules file holds no list of rules", "parse")
    return found


def has_an_end(data: bytes) -> bool:
    """Whether no beginning of this text would be read as all of it: a document of JSON, or YAML that ends in `...`."""
    return bool(_DOCUMENT.match(data)) or data.rstrip().endswith(b"\n...")


def _json(data: bytes) -> Any:
    """JSON of one document, or one rule a line."""
    with contextlib.suppress(*_NOT_JSON):
        found = msgspec.json.decode(data)
        return [found] if isinstance(found, dict) and "id" in found else found
    found = []
    for number, line in enumerate(data.split(b"\n"), 1):
        try:
            found += [msgspec.json.decode(line)] if line.strip() else []
        except _NOT_JSON as error:
            raise Permanent(f"the rules file is not JSON lines: line {number} is not JSON", "parse") from error
    return found


def _yaml(data: bytes) -> Any:
    try:
        _check(data)
        return yaml.load(data, Loader=_Loader)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        raise Permanent(f"the rules file is not YAML{where}", "parse") from error
    except (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, RecursionError) as error:
        # PyYAML's constructors raise them for text that a tag does not fit, such as `!!bool maybe`.
        raise Permanent("the rules file is not YAML", "parse") from error


def _check(data: bytes) -> None:
    """Refuse nesting without end, for which libyaml would take the process down, and aliases that multiply the text.

    Parsed text shares what an alias names, but whatever writes or hashes the rules has it once for each alias.
    """
    characters = 0
    sizes: dict[str, int] = {}
    within: list[tuple[str | None, int]] = []
    for event in yaml.parse(data, Loader=_Loader):
        if isinstance(event, yaml.ScalarEvent):
            characters += len(event.value)
            if event.anchor is not None:
                sizes[event.anchor] = len(event.value)
        elif isinstance(event, yaml.AliasEvent):
            characters += sizes.get(str(event.anchor), 0)
        elif isinstance(event, yaml.CollectionStartEvent):
            within.append((event.anchor, characters))
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = within.pop()
            if anchor is not None:
                sizes[anchor] = characters - before
        if len(within) > DEEPEST:
            raise yaml.YAMLError("nested too deep")
        if characters > LARGEST:
            raise Permanent(f"the aliases make the rules file larger than {LARGEST >> 20} MiB of text", "too_large")


def to_yaml(rules: Iterable[Rule]) -> str:
    """Rules as YAML that `read` reads back."""
    return yaml.safe_dump({"rules": [shape(rule) for rule in rules]}, sort_keys=False, allow_unicode=True, width=110)


def to_json_lines(rules: Iterable[Rule]) -> str:
    """Rules as JSON lines that `read` reads back."""
    return msgspec.json.Encoder().encode_lines([shape(rule) for rule in rules]).decode()


def shape(rule: Rule) -> dict[str, object]:
    """A rule as plain data, its matchers as strings."""
    return msgspec.structs.asdict(rule) | {"match": [str(m) for m in rule.match], "targets": list(rule.targets)}
