"""Reads all Secrets of one namespace: every page under the attempt's deadline, parsed where something changed."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from alert_refresh.engine import Fault, Permanent, Transient
from alert_refresh.targets.assemble import Candidate
from alert_refresh.targets.kubernetes import page as secret_list
from alert_refresh.targets.kubernetes.errors import Gone
from alert_refresh.targets.kubernetes.store import number
from alert_refresh.targets.secret.parse import parse, parse_base64

if TYPE_CHECKING:
    from msgspec import Raw

    from alert_refresh.engine import Clock, Deadline
    from alert_refresh.targets.bulkhead import Bulkhead
    from alert_refresh.targets.kubernetes.body import KubeReader
    from alert_refresh.targets.kubernetes.store import Known
    from alert_refresh.targets.target import Target

PAGE = 1000
"""Secrets asked for at once: few requests, which a server reads from its store each, and yet several, so that neither
side has to hold all of them as text."""
AT_ONCE = 50
"""Secrets parsed between two looks at whether more has come."""
MAX_PAGES = 1000

EVERYWHERE = "*"


@dataclass(slots=True)
class Timing:
    """Seconds spent on reading lists and on parsing Secrets."""

    discover: float = 0.0
    parse: float = 0.0


def path_of(namespace: str) -> str:
    """Where the Secrets of a namespace are listed and watched."""
    return "/api/v1/secrets" if namespace == EVERYWHERE else f"/api/v1/namespaces/{quote(namespace, safe='')}/secrets"


def name_of(namespace: str) -> str:
    """How a namespace is called where people read it."""
    return "all namespaces" if namespace == EVERYWHERE else f"namespace {namespace}"


def candidate(secret: secret_list.Secret, bulkhead: Bulkhead, *, deny_private: bool) -> Candidate:
    """What is made of a Secret, whatever parsing it raises."""
    about = secret.metadata
    result = bulkhead.hold(
        f"{about.namespace}/{about.name}",
        "secret",
        lambda: _parse(secret.data, about.namespace, about.name, deny_private),
    )
    return Candidate(about.namespace, about.name, about.uid, about.creationTimestamp or "", result)


def _parse(data: Raw, namespace: str, secret: str, deny_private: bool) -> Target | tuple[Fault, ...]:
    try:
        plain = secret_list.values(data)
    except ValueError:
        try:
            values = secret_list.any_values(data)
        except ValueError:
            return (Fault("data", "bad_data: is not a mapping"),)
        return parse_base64(values, namespace=namespace, secret=secret, deny_private=deny_private)
    return parse(plain or {}, namespace=namespace, secret=secret, deny_private=deny_private)


class Found(NamedTuple):
    """All Secrets of a namespace, the resourceVersion at which it is so, and whether that is older than it may be."""

    known: Known
    version: int
    went_back: bool


class Lister:
    """Reads lists for one attempt."""

    def __init__(
        self, reader: KubeReader, label_selector: str, bulkhead: Bulkhead, *, deny_private: bool, clock: Clock
    ) -> None:
        self._reader = reader
        self._bulkhead = bulkhead
        self._label_selector = label_selector
        self._deny_private = deny_private
        self._clock = clock
        self.timing = Timing()

    def read(self, namespace: str, known: Known, deadline: Deadline, floor: int) -> Found:
        """All Secrets of a namespace. What has the version that it has in `known` is not parsed again, unless the
        list's own version is below `floor`: then nothing is taken from `known`.

        Returns `known` itself if it is so still. A list that expires while it is read is begun anew, once.

        Raises:
            Transient, Permanent: it cannot be read.
        """
        try:
            return self._pages(namespace, known, deadline, floor)
        except Gone:
            return self._pages(namespace, known, deadline, floor)

    def _pages(self, namespace: str, known: Known, deadline: Deadline, floor: int) -> Found:
        path = path_of(namespace)
        query = {"labelSelector": self._label_selector, "limit": str(PAGE)}
        parsing = _Parsing(known, floor, self._clock, self._bulkhead, deny_private=self._deny_private)
        tokens: set[str] = set()
        began = self._clock.monotonic()
        try:
            while True:
                page = secret_list.Page()
                body = self._reader.get(path, query, deadline, partial(parsing.ahead, page))
                parsing.rest(deadline)
                metadata, secrets = page.rest(body)
                parsing.add(secrets, metadata)
                token = metadata.next_page
                if not token:
                    parsing.rest(deadline)
                    return Found(parsing.found, number(metadata.resourceVersion), parsing.went_back)
                if token in tokens:
                    raise Transient("the API server's list goes in a circle", "parse")
                if len(tokens) + 1 >= MAX_PAGES:
                    raise Permanent(f"the API server's list has more than {MAX_PAGES} pages", "too_large")
                tokens.add(token)
                query = query | {"continue": token}
        finally:
            self.timing.parse += parsing.seconds
            self.timing.discover += self._clock.monotonic() - began - parsing.seconds


class _Parsing:
    """Parses Secrets while more of them are awaited."""

    def __init__(self, known: Known, floor: int, clock: Clock, bulkhead: Bulkhead, *, deny_private: bool) -> None:
        self._known = known
        self._floor = floor
        self._bulkhead = bulkhead
        self._clock = clock
        self._deny_private = deny_private
        self._found: Known = {}
        self._changed = 0
        self._waiting: deque[secret_list.Secret] = deque()
        self.went_back = False
        self.seconds = 0.0

    @property
    def found(self) -> Known:
        """All that were parsed; `known` itself if they are the same."""
        same = not self._changed and len(self._found) == len(self._known)
        return self._known if same else self._found

    def add(self, secrets: list[secret_list.Secret], metadata: secret_list.ListMetadata | None) -> None:
        """These come next, from a page that says so much of itself; None if it has not begun.

        Raises:
            Transient: only a later page is older than it may be.
        """
        if not self.went_back and metadata is not None and number(metadata.resourceVersion) < self._floor:
            if self._found:
                raise Transient("the pages of the API server's list are of several versions", "parse")
            self.went_back, self._known = True, {}
        self._waiting.extend(secrets)

    def ahead(self, page: secret_list.Page, body: bytearray) -> bool:
        """Do a little of what can be done already, with what has arrived of a page; whether there was anything."""
        if not self._waiting:
            self.add(page.some(body), page.metadata)
        return self._some()

    def rest(self, deadline: Deadline) -> None:
        """Parse those that are left.

        Raises:
            Transient: the deadline has passed.
        """
        while self._some():
            deadline.check()
        deadline.check()

    def _some(self) -> bool:
        """Parse a few; whether there were any."""
        began = self._clock.monotonic()
        few = [self._waiting.popleft() for _ in range(min(AT_ONCE, len(self._waiting)))]
        for secret in few:
            about = secret.metadata
            old = self._known.get(about.uid)
            if old is None or old[0] != about.resourceVersion:
                self._changed += 1
                old = about.resourceVersion, candidate(secret, self._bulkhead, deny_private=self._deny_private)
            self._found[about.uid] = old
        self.seconds += self._clock.monotonic() - began
        return bool(few)
