"""Reads all Secrets of one namespace under the attempt's deadline, and parses those that changed.

A list is asked for in protobuf, whole. Where what is known can be trusted, the metadata are enough, and the few Secrets
that differ are read one by one. A server that does not answer in protobuf is asked in JSON from then on, page by page.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from alert_refresh.engine import Fault, Permanent, Transient
from alert_refresh.targets.assemble import Candidate
from alert_refresh.targets.kubernetes.encoding import json_list, protobuf_list
from alert_refresh.targets.kubernetes.errors import Forbidden, Gone, NotAcceptable, NotFound
from alert_refresh.targets.kubernetes.store import UNKNOWN, number
from alert_refresh.targets.secret.parse import parse, parse_base64

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from msgspec import Raw

    from alert_refresh.engine import Clock, Deadline
    from alert_refresh.targets.bulkhead import Bulkhead
    from alert_refresh.targets.kubernetes.body import Answer, KubeReader
    from alert_refresh.targets.kubernetes.store import Known
    from alert_refresh.targets.target import Target

    Secret = json_list.Secret | protobuf_list.Secret

PAGE = 1000
"""Secrets of a page in JSON, which is decoded whole."""
AT_ONCE = 50
"""Secrets parsed between two looks at the deadline."""
MAX_PAGES = 1000

PROTOBUF = f"{protobuf_list.CONTENT_TYPE}, {json_list.CONTENT_TYPE}"
METADATA = f"{protobuf_list.CONTENT_TYPE};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1, {PROTOBUF}"
SINGLES = 16
"""Secrets read one by one at most; if more differ, a full list takes less time."""
JSON_AGAIN = 3600.0
"""Seconds after which a server that did not answer in protobuf is asked for it again."""

EVERYWHERE = "*"


class JsonServers:
    """Remembers which servers do not answer in protobuf, by the name that `KubeClient.server` gives them."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}

    def add(self, server: str) -> None:
        self._until[server] = self._clock.monotonic() + JSON_AGAIN

    def __contains__(self, server: str) -> bool:
        return self._clock.monotonic() < self._until.get(server, 0.0)


@dataclass(slots=True)
class Timing:
    """Seconds spent on reading lists and on parsing Secrets."""

    discover: float = 0.0
    parse: float = 0.0


def path_of(namespace: str) -> str:
    """Where the Secrets of a namespace are listed and watched."""
    return "/api/v1/secrets" if namespace == EVERYWHERE else f"/api/v1/namespaces/{quote(namespace, safe='')}/secrets"


def name_of(namespace: str) -> str:
    """A namespace in messages."""
    return "all namespaces" if namespace == EVERYWHERE else f"namespace {namespace}"


def candidate(secret: Secret, bulkhead: Bulkhead, *, deny_private: bool) -> Candidate:
    """Parse a Secret inside the bulkhead: an exception becomes its fault."""
    about = secret.metadata
    namespace, name = about.namespace, about.name
    if isinstance(secret, protobuf_list.Secret):
        created: int | str = secret.metadata.creationTimestamp.seconds
        result = bulkhead.hold((namespace, name), "secret", _parse_protobuf, secret.data, namespace, name, deny_private)
    else:
        created = secret.metadata.creationTimestamp or ""
        result = bulkhead.hold((namespace, name), "secret", _parse_json, secret.data, namespace, name, deny_private)
    return Candidate(namespace, name, about.uid, created, result)


def _parse_protobuf(
    data: Mapping[str, bytes], namespace: str, name: str, deny_private: bool
) -> Target | tuple[Fault, ...]:
    if len(data) > 1:
        # Faults are told in the order of the keys, and the map of a message has none.
        data = dict(sorted(data.items()))
    return parse(data, namespace=namespace, secret=name, deny_private=deny_private)


def _parse_json(data: Raw, namespace: str, name: str, deny_private: bool) -> Target | tuple[Fault, ...]:
    try:
        plain = json_list.values(data)
    except ValueError:
        try:
            values = json_list.any_values(data)
        except ValueError:
            return (Fault("data", "bad_data: is not a mapping"),)
        return parse_base64(values, namespace=namespace, secret=name, deny_private=deny_private)
    return parse(plain or {}, namespace=namespace, secret=name, deny_private=deny_private)


class Found(NamedTuple):
    """All Secrets of a namespace, the list's resourceVersion, and whether that is below the floor."""

    known: Known
    version: int
    went_back: bool


class Lister:
    """Reads lists for one attempt; a `trusting` one asks for metadata alone where something is known."""

    def __init__(
        self,
        reader: KubeReader,
        label_selector: str,
        bulkhead: Bulkhead,
        *,
        deny_private: bool,
        clock: Clock,
        json_servers: JsonServers,
        trusting: bool = False,
    ) -> None:
        self._reader = reader
        self._bulkhead = bulkhead
        self._label_selector = label_selector
        self._deny_private = deny_private
        self._clock = clock
        self._json_servers = json_servers
        self._trusting = trusting
        self.timing = Timing()

    def read(self, namespace: str, known: Known, deadline: Deadline, floor: int) -> Found:
        """All Secrets of a namespace. What has the version that it has in `known` is not parsed again, unless the
        list's own version is below `floor`: then nothing is taken from `known`.

        Returns `known` itself if nothing changed. A list that expires while it is read is started again, once.

        Raises:
            Transient, Permanent: it cannot be read.
        """
        accept = METADATA if known and self._trusting else PROTOBUF
        try:
            parsing = self._pages(namespace, known, deadline, floor, accept)
            complete = self._complete(parsing, deadline)
        except Gone:
            complete = False
        if not complete:
            parsing = self._pages(namespace, known, deadline, floor, PROTOBUF)
        return Found(parsing.found, parsing.version, parsing.went_back)

    def _complete(self, parsing: _Parsing, deadline: Deadline) -> bool:
        """Read what a list of metadata left out; False if everything must be listed."""
        if len(parsing.missing) > SINGLES or (parsing.partial and parsing.went_back):
            return False
        try:
            return all(self._read_single(about, parsing, deadline) for about in parsing.missing)
        except (Forbidden, NotAcceptable, NotFound):
            return False

    def _read_single(
        self, about: json_list.Metadata | protobuf_list.Metadata, parsing: _Parsing, deadline: Deadline
    ) -> bool:
        """Read a Secret; False if it is not the version that was listed."""
        path = f"{path_of(about.namespace)}/{quote(about.name, safe='')}"
        with self._reader.get(path, {}, deadline, PROTOBUF) as answer:
            if not answer.protobuf:
                return False
            found = protobuf_list.ProtobufList(answer.pieces(), protobuf_list.SECRET).single()
        if (found.metadata.uid, found.metadata.resourceVersion) != (about.uid, about.resourceVersion):
            return False
        parsing.add_single(found)
        return True

    def _pages(self, namespace: str, known: Known, deadline: Deadline, floor: int, accept: str) -> _Parsing:
        query = {"labelSelector": self._label_selector}
        parsing = _Parsing(known, floor, deadline, self._clock, self._bulkhead, deny_private=self._deny_private)
        tokens: set[str] = set()
        began = self._clock.monotonic()
        try:
            while True:
                token = self._page(path_of(namespace), query, parsing, deadline, accept)
                if not token:
                    return parsing
                if token in tokens:
                    raise Transient("the API server's list goes in a circle", "parse")
                if len(tokens) + 1 >= MAX_PAGES:
                    raise Permanent(f"the API server's list has more than {MAX_PAGES} pages", "too_large")
                tokens.add(token)
                query = query | {"continue": token}
        finally:
            self.timing.parse += parsing.seconds
            self.timing.discover += self._clock.monotonic() - began - parsing.seconds

    def _page(self, path: str, query: dict[str, str], parsing: _Parsing, deadline: Deadline, accept: str) -> str:
        """Read a page; returns the token of the next one, empty if there is none."""
        server = self._reader.server
        if server in self._json_servers:
            with self._reader.get(path, query | {"limit": str(PAGE)}, deadline, json_list.CONTENT_TYPE) as answer:
                return self._json(answer, parsing)
        try:
            with self._reader.get(path, query, deadline, accept) as answer:
                if answer.protobuf:
                    return self._protobuf(answer, parsing)
                token = self._json(answer, parsing)
        except NotAcceptable:
            self._json_servers.add(server)
            return self._page(path, query, parsing, deadline, accept)
        self._json_servers.add(server)
        return token

    def _protobuf(self, answer: Answer, parsing: _Parsing) -> str:
        page = protobuf_list.ProtobufList(answer.pieces(), protobuf_list.SECRETS, protobuf_list.METADATA)
        try:
            for secrets in page.secrets():
                parsing.add(secrets, page.version, partial=page.partial)
        except protobuf_list.MalformedProtobuf:
            # A proxy in between may alter the body: the next attempt asks for JSON.
            self._json_servers.add(self._reader.server)
            raise
        parsing.add((), page.version, partial=page.partial)
        return page.next_page

    def _json(self, answer: Answer, parsing: _Parsing) -> str:
        page = json_list.decode(answer.whole())
        parsing.add(page.items, page.metadata.resourceVersion)
        return page.metadata.next_page


class _Parsing:
    """Parses what changed of the Secrets of one list, whose version is `version`.

    Of a `partial` one, which has metadata alone, those that changed are `missing`, one more than `SINGLES` at most.
    """

    def __init__(
        self, known: Known, floor: int, deadline: Deadline, clock: Clock, bulkhead: Bulkhead, *, deny_private: bool
    ) -> None:
        self._known = known
        self._floor = floor
        self._deadline = deadline
        self._bulkhead = bulkhead
        self._clock = clock
        self._deny_private = deny_private
        self._found: Known = {}
        self._changed = 0
        self.version = UNKNOWN
        self.partial = False
        self.missing: list[json_list.Metadata | protobuf_list.Metadata] = []
        self.went_back = False
        self.seconds = 0.0

    @property
    def found(self) -> Known:
        """All that were parsed; `known` itself if they are the same."""
        same = not self._changed and len(self._found) == len(self._known)
        return self._known if same else self._found

    def add(self, secrets: Iterable[Secret], version: str, *, partial: bool = False) -> None:
        """Parse the next Secrets, from a page of that version.

        Raises:
            Transient: the deadline has passed, or only a later page is older than it may be.
            Permanent: one of them has no uid.
        """
        self.version, self.partial = number(version), partial
        if not self.went_back and self.version < self._floor:
            if self._found:
                raise Transient("the pages of the API server's list are of several versions", "parse")
            self.went_back, self._known = True, {}
        began = self._clock.monotonic()
        some = iter(secrets)
        while few := list(islice(some, AT_ONCE)):
            for secret in few:
                self._add(secret)
            self._deadline.check()
        self.seconds += self._clock.monotonic() - began

    def _add(self, secret: Secret) -> None:
        about = secret.metadata
        uid = about.uid
        if not uid:
            raise Permanent("the API server's answer is not a list of Secrets", "parse")
        old = self._known.get(uid)
        if old is None or old[0] != about.resourceVersion:
            if self.partial:
                if len(self.missing) <= SINGLES:
                    self.missing.append(secret.metadata)
                return
            old = self._parsed(secret)
        # The candidate's own text as the key: each access to a message makes a new one.
        self._found[old[1].uid] = old

    def add_single(self, secret: Secret) -> None:
        """Parse one that was missing."""
        made = self._parsed(secret)
        self._found[made[1].uid] = made

    def _parsed(self, secret: Secret) -> tuple[str, Candidate]:
        self._changed += 1
        made = candidate(secret, self._bulkhead, deny_private=self._deny_private)
        return secret.metadata.resourceVersion, made
