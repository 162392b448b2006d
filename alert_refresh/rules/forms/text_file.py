"""Text formats of rules: YAML (a list, or a mapping with the list under `rules`), JSON, or JSON lines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec
import yaml

from alert_refresh.engine import Permanent
from alert_refresh.rules.forms import foreign, json_text, yaml_text
from alert_refresh.rules.forms.values import FEW, Path, Places, Repeated, display, in_lines

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from alert_refresh.rules.rule import Rule

LARGEST = 32 * 1024 * 1024
"""Maximum bytes of text; more rules than that need a warm file."""
_BOM = b"\xef\xbb\xbf"
_DOCUMENT = re.compile(rb"(\xef\xbb\xbf)?\s*(\[|\{\s*\"rules\")")
_BEGINS_AS_TEMPLATE = re.compile(r"\s*\{\{")
_BEGINS_AS_JSON = re.compile(r"\s*[{\[]\s*[{\[\"\]]")


def never() -> None:
    """Check no deadline."""


class Text:
    """The content of a text file. `check` is called periodically while it is parsed, and may raise.

    Raises:
        Permanent: too large, or not UTF-8 (error types `too_large`, `parse`).
    """

    def __init__(self, data: bytes, check: Callable[[], object] = never) -> None:
        self._check = check
        _demand_size(data, LARGEST, "text; pack it")
        try:
            self._text = data.removeprefix(_BOM).decode()
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise Permanent(f"the rules file is not UTF-8: line {line}", "parse") from error
        self._is_json = _BEGINS_AS_JSON.match(self._text) is not None
        if not self._is_json:
            _demand_size(data, yaml_text.LARGEST, "YAML; write it as JSON")

    def rules(self) -> list[object]:
        """The rules as plain data, not yet checked.

        Raises:
            Permanent: it has none of the formats (error type `parse`), or is too large with aliases (`too_large`).
        """
        if _BEGINS_AS_TEMPLATE.match(self._text):
            raise Permanent(f"the rules file is {foreign.TEMPLATE}; {foreign.READ}", "parse")
        found = self._read()
        if isinstance(found, dict):
            found = self._rules_of(found)
        if found is None:
            raise Permanent("the rules file is empty; to have no rules write []", "parse")
        if not isinstance(found, list):
            raise Permanent(f"the rules file holds no list of rules; {foreign.READ}", "parse")
        what = foreign.recognise_rules(found)
        if what is not None:
            raise Permanent(f"the rules file is {what}; {foreign.READ}", "parse")
        return found

    def places(self, wanted: Collection[int]) -> Places:
        """The lines of the rules with these indexes, and of everything within them."""

        def keep(path: Path) -> bool:
            index = path[1] if path[0] == "rules" and len(path) > 1 else path[0]
            return index in wanted or index == "rules"

        return self._places(keep).below("rules")

    def _read(self) -> Any:
        if self._is_json:
            return json_text.read(self._text, self._check)
        return yaml_text.read(self._text, self._check)

    def _places(self, keep: Callable[[Path], bool]) -> Places:
        places = Places(keep)
        if self._is_json:
            json_text.locate(self._text, self._check, places)
        else:
            yaml_text.read(self._text, self._check, places)
        return places

    def _rules_of(self, found: dict[object, object]) -> object:
        """The value of `rules`, which must be the only key of the mapping."""
        if list(found) == ["rules"] and not isinstance(found, Repeated):
            return found["rules"]
        places = self._places(lambda path: len(path) == 1)
        what = foreign.recognise(found)
        if what is not None:
            raise Permanent(f"the rules file is {what}; {foreign.READ}", "parse")
        repeated = found.keys_repeated if isinstance(found, Repeated) else ()
        faults = [f"{display(key)} is repeated{in_lines(places.lines((key,)))}" for key in repeated]
        faults += [
            f"{display(key)} is not a field of the file{in_lines(places.lines((key,)))}"
            for key in found
            if key != "rules"
        ]
        what = "the rules file" if "rules" in found else "the rules file holds no list of rules"
        raise Permanent(f"{what}: {'; '.join([*faults[:FEW], foreign.READ])}", "parse")


def read(data: bytes, check: Callable[[], object] = never) -> list[object]:
    """`Text(data, check).rules()`."""
    return Text(data, check).rules()


def is_self_delimiting(data: bytes) -> bool:
    """Whether no prefix of this text is valid: a JSON document, or YAML that ends in `...`."""
    return bool(_DOCUMENT.match(data)) or data.rstrip().endswith(b"\n...")


def _demand_size(data: bytes, largest: int, form: str) -> None:
    if len(data) > largest:
        raise Permanent(f"the rules file is larger than {largest >> 20} MiB of {form}", "too_large")


def to_yaml(rules: Iterable[Rule]) -> str:
    """Rules as YAML that `read` accepts."""
    return yaml.safe_dump({"rules": [shape(rule) for rule in rules]}, sort_keys=False, allow_unicode=True, width=110)


def to_json_lines(rules: Iterable[Rule]) -> str:
    """Rules as JSON lines that `read` accepts."""
    return msgspec.json.Encoder().encode_lines([shape(rule) for rule in rules]).decode()


def shape(rule: Rule) -> dict[str, object]:
    """A rule as plain data, its matchers as strings."""
    return msgspec.structs.asdict(rule) | {"match": [str(m) for m in rule.match], "targets": list(rule.targets)}
