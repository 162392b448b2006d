"""Reads all Secrets of one namespace: every page under the attempt's deadline, parsed where something changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from alert_refresh.engine import Fault, Permanent, Transient
from alert_refresh.targets import secret_list
from alert_refresh.targets.assemble import Candidate
from alert_refresh.targets.kube_errors import Gone
from alert_refresh.targets.target import Target, parse_base64

if TYPE_CHECKING:
    from alert_refresh.engine import Clock, Deadline
    from alert_refresh.targets.kube_reader import KubeReader
    from alert_refresh.targets.listed import Known

PAGE = 2000
"""Secrets asked for at once: few requests, and each page is decoded in a few milliseconds."""
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


def candidate(secret: secret_list.Secret, *, deny_private: bool) -> Candidate:
    """What is made of a Secret."""
    about = secret.metadata
    result: Target | tuple[Fault, ...]
    try:
        values = secret_list.values(secret.data)
    except ValueError:
        result = (Fault("data", "bad_data: is not a mapping"),)
    else:
        result = parse_base64(values, namespace=about.namespace, secret=about.name, deny_private=deny_private)
    return Candidate(about.namespace, about.name, about.uid, about.creationTimestamp or "", result)


class Lister:
    """Reads lists for one attempt."""

    def __init__(self, reader: KubeReader, label_selector: str, *, deny_private: bool, clock: Clock) -> None:
        self._reader = reader
        self._label_selector = label_selector
        self._deny_private = deny_private
        self._clock = clock
        self.timing = Timing()

    def read(self, namespace: str, known: Known, deadline: Deadline) -> tuple[Known, str]:
        """All Secrets of a namespace, and the resourceVersion at which it is so.

        Returns `known` itself if it is so still. A list that expires while it is read is begun anew, once.

        Raises:
            Transient, Permanent: it cannot be read.
        """
        try:
            return self._pages(namespace, known, deadline)
        except Gone:
            return self._pages(namespace, known, deadline)

    def _pages(self, namespace: str, known: Known, deadline: Deadline) -> tuple[Known, str]:
        path = path_of(namespace)
        query = {"labelSelector": self._label_selector, "limit": str(PAGE)}
        found: Known = {}
        changed = 0
        tokens: set[str] = set()
        while True:
            began = self._clock.monotonic()
            page = secret_list.decode(self._reader.get(path, query, deadline))
            read = self._clock.monotonic()
            for secret in page.items:
                about = secret.metadata
                old = known.get(about.uid)
                if old is None or old[0] != about.resourceVersion:
                    changed += 1
                    old = about.resourceVersion, candidate(secret, deny_private=self._deny_private)
                found[about.uid] = old
            self.timing.discover += read - began
            self.timing.parse += self._clock.monotonic() - read
            deadline.check()
            token = page.metadata.next_page
            if not token:
                same = not changed and len(found) == len(known)
                return (known if same else found), page.metadata.resourceVersion
            if token in tokens:
                raise Transient("the API server's list goes in a circle", "parse")
            if len(tokens) + 1 >= MAX_PAGES:
                raise Permanent(f"the API server's list has more than {MAX_PAGES} pages", "too_large")
            tokens.add(token)
            query = query | {"continue": token}
