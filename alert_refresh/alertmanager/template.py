"""The user's own alertmanager.yml: read, checked where it meets ours, and ready to be written again."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

from alert_refresh.alertmanager.tree import BadYaml, Mapping, Node, Scalar, Sequence, is_null, read, write, write_pairs
from alert_refresh.engine import Permanent

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

LARGEST = 4 * 1024 * 1024
"""Maximum bytes of a template."""
PREFIX = "alert-refresh/"
"""How the names of our receivers begin; the target's name follows."""
MARKER = "alert-refresh:"
"""How the name of the unused receiver begins by which a rendering is recognised; its digest follows."""
MOST_FAULTS = 20
"""The highest number of faults that are named."""


@dataclass(frozen=True, slots=True)
class Template:
    """A template that was read, in pieces between which ours are written.

    `name` is what it is called in messages, `digest` identifies its content. `head` is everything but the root route
    and the receivers; `root` the fields of the root route but its routes; `routes` and `receivers` are items of lists;
    each is lines of text. `named` are the targets that its routes name as `alert-refresh/<name>`. `http_config` is
    what receivers inherit that have no `http_config` of their own, as pairs. `pagerduty_url`: whether it says
    where those for PagerDuty send to that have no URL of their own.
    """

    name: str
    digest: str
    head: str
    root: str
    routes: str
    receivers: str
    named: frozenset[str]
    http_config: tuple[tuple[Scalar, Node], ...]
    pagerduty_url: bool

    @classmethod
    def read(cls, data: bytes, name: str) -> Self:
        """Read a template. Relative paths in it stay as they are: they count from the folder of the written file.

        Raises:
            Permanent: it cannot be used (error type `validate`): the lines and the reasons, never a value.
        """
        if len(data) > LARGEST:
            raise _refused(name, [f"it is larger than {LARGEST >> 20} MiB"])
        try:
            document = read(data.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise _refused(name, [f"line {line} is not UTF-8"]) from None
        except BadYaml as error:
            raise _refused(name, [str(error)]) from None
        if not isinstance(document, Mapping):
            raise _refused(name, ["it is empty" if document is None else f"line {document.line} is not a mapping"])
        check = _Check()
        root, receivers = check.document(document)
        if check.faults:
            raise _refused(name, check.faults)
        routes = root.get("routes")
        section = document.get("global")
        defaults = section if isinstance(section, Mapping) else Mapping((), document.line)
        config = defaults.get("http_config")
        return cls(
            name=name,
            digest=sha256(data).hexdigest()[:16],
            head=_lines(write_pairs(document.without("route", "receivers"))),
            root=_lines(write_pairs(root.without("routes"), "  ")),
            routes=_lines(write(routes, "  ")) if isinstance(routes, Sequence) else "",
            receivers=_lines(write(receivers)) if isinstance(receivers, Sequence) else "",
            named=frozenset(check.named),
            http_config=config.merged() if isinstance(config, Mapping) else (),
            pagerduty_url="pagerduty_url" in {key.text for key, _ in defaults.merged()},
        )


class _Check:
    """Checks what has to be right so that our receivers and routes can be written beside those of the template."""

    def __init__(self) -> None:
        self.faults: list[str] = []
        self.named: set[str] = set()
        self._receivers: set[str] = set()

    def document(self, document: Mapping) -> tuple[Mapping, Node | None]:
        """The root route and the receivers; not to be used if there are faults.

        Some empty values end the process of an Alertmanager that loads them, so they are faults here.
        """
        receivers = document.get("receivers")
        for one in self._items(receivers, "receivers"):
            self._receiver(one)
        self._items(document.get("inhibit_rules"), "inhibit_rules")
        self._global(document.get("global"))
        route = document.get("route")
        if not isinstance(route, Mapping):
            self._fault(document if route is None else route, "there is no root route: expected route, a mapping")
            return Mapping((), document.line), receivers
        name = route.get("receiver")
        if not isinstance(name, Scalar) or not name.value:
            self._fault(route, "the root route has no receiver")
        self._route(route)
        return route, receivers

    def _receiver(self, receiver: Mapping) -> None:
        name = receiver.get("name")
        if not isinstance(name, Scalar) or not name.value:
            self._fault(receiver, "a receiver has no name")
        elif name.value.startswith((PREFIX, MARKER)):
            self._fault(name, f"a receiver's name begins with {PREFIX} or {MARKER}, as only those made here do")
        elif name.value in self._receivers:
            self._fault(name, "a receiver has the name of an earlier one")
        else:
            self._receivers.add(name.value)
        for key, value in receiver.merged():
            if key.text.endswith("_configs") and not is_null(value):
                self._items(value, "a list of a receiver")

    def _global(self, section: Node | None) -> None:
        for key, value in section.merged() if isinstance(section, Mapping) else ():
            if key.text == "http_config" and is_null(value):
                self._fault(key, "global.http_config is empty; leave it out")

    def _route(self, route: Mapping) -> None:
        name = route.get("receiver")
        if isinstance(name, Scalar) and name.value.startswith(PREFIX):
            self.named.add(name.value.removeprefix(PREFIX))
        elif isinstance(name, Scalar) and name.value not in (self._receivers | {""}):
            self._fault(name, "the receiver of a route is not defined")
        for one in self._items(route.get("routes"), "routes"):
            self._route(one)

    def _items(self, node: Node | None, what: str) -> list[Mapping]:
        """The items of a list of mappings."""
        if node is None:
            return []
        if not isinstance(node, Sequence):
            self._fault(node, f"{what} is not a list")
            return []
        for item in node.items:
            if not isinstance(item, Mapping):
                self._fault(item, f"an item of {what} is {'empty' if is_null(item) else 'not a mapping'}")
        return [item for item in node.items if isinstance(item, Mapping)]

    def _fault(self, node: Node, reason: str) -> None:
        self.faults.append(f"line {node.line}: {reason}")


def _lines(lines: Iterator[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


def _refused(name: str, faults: list[str]) -> Permanent:
    more = f"; and {len(faults) - MOST_FAULTS} more" if len(faults) > MOST_FAULTS else ""
    return Permanent(f"the template {name} cannot be used: {'; '.join(faults[:MOST_FAULTS])}{more}", "validate")
