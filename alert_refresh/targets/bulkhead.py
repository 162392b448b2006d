"""Isolates items from each other: an exception while one is parsed affects no other."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from alert_refresh.engine import AttemptError, Fault
from alert_refresh.engine.stack import stack_of
from alert_refresh.targets.assemble import escaped
from alert_refresh.targets.secret.json_text import Unusable

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
P = ParamSpec("P")

REMEMBERED = 1000

log = logging.getLogger(__name__)


class Bulkhead:
    """Turns unexpected exceptions into faults of the item that was being parsed; each source has one bulkhead.

    `kind` is the one that the log names.
    """

    def __init__(self, kind: str = "targets") -> None:
        self._kind = kind
        self._told: dict[tuple[str, str], None] = {}

    def hold(
        self,
        item: str | tuple[str, str],
        field: str,
        parse: Callable[P, T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T | tuple[Fault, ...]:
        """The result of `parse`; if it raises `Unusable`, that as a fault of `field`, for other exceptions the fault
        `unreadable`.

        `item` is what the log calls it; of a Secret its namespace and name. An unexpected exception is logged with its
        frames and without its message, once for each item and place in the code.

        Raises:
            AttemptError: as `parse` does, since the attempt and not the item is the reason.
            MemoryError: the process, not the item, is the reason; the attempt fails, and what is served stays.
        """
        try:
            return parse(*args, **kwargs)
        except (AttemptError, MemoryError):
            raise
        except Unusable as error:
            return (Fault(field, str(error)),)
        except Exception as raised:
            self._log(item, raised)
            return (Fault(field, f"unreadable: parsing it raised {type(raised).__name__}"),)

    def _log(self, item: str | tuple[str, str], raised: Exception) -> None:
        item = item if isinstance(item, str) else "/".join(item)
        stack = stack_of(raised)
        if (item, stack) in self._told:
            return
        if len(self._told) >= REMEMBERED:
            self._told.clear()
        self._told[item, stack] = None
        name = type(raised).__name__
        log.error(
            "Parsing '%s' raised an unexpected %s", escaped(item), name, extra={"kind": self._kind, "stack": stack}
        )
