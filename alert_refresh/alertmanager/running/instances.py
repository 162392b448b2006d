"""All Alertmanagers that a configuration is for: what each runs, told at once and in parallel."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

import msgspec

from alert_refresh.alertmanager.inputs import Capabilities
from alert_refresh.alertmanager.running.client import API, CONFIG, Access, Answer, Request, judge
from alert_refresh.alertmanager.template import MARKER
from alert_refresh.engine import AttemptError, Deadline, Permanent, Transient
from alert_refresh.engine.errors import TIMEOUT
from alert_refresh.engine.threads import Call, spawn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from alert_refresh.alertmanager.running.amtool import Amtool
    from alert_refresh.engine import Clock

T = TypeVar("T")

LARGEST = 128 * 1024 * 1024
"""Bytes of an answer; the status of thousands of receivers has a few megabytes."""
HASH_BYTES = 6
"""A configuration's hash is exported as a floating-point number, so Alertmanager takes so many bytes of the MD5."""
HEADERS_FIELD = re.compile(r"^  rocketchat_api_url:", re.MULTILINE)
"""A default that Alertmanager shows in its status since the release that knows `http_config.http_headers`."""
UTF8_METRIC = b"\nalertmanager_inhibition_rules "
"""A metric that Alertmanager has since it reads matchers as UTF-8 (0.27)."""
REFUSAL = b"failed to reload config"
"""How Alertmanager's answer to a reload begins that it refuses; used only where its metrics are not served."""
RESULTS = ("success", "refused", "failed")

_METRIC = re.compile(r"^(alertmanager_config_hash|alertmanager_config_last_reload_successful) (\S+)$", re.MULTILINE)
_VERSION = re.compile(r'^alertmanager_build_info\{[^}\n]*\bversion="([^"\n]{1,100})"', re.MULTILINE)
_MARKER = re.compile(rf"^- name: ['\"]?{re.escape(MARKER)}([0-9a-f]+)['\"]?$", re.MULTILINE)


def config_hash(text: bytes) -> int:
    """What `alertmanager_config_hash` is for a file: the first 48 bits of its MD5, little-endian."""
    return int.from_bytes(hashlib.md5(text, usedforsecurity=False).digest()[:HASH_BYTES], "little")


LOOK_SHARE = 1 / 3
"""Of an attempt's time, for the question what the Alertmanagers run."""


class RefusesEverything(Permanent):
    """Raised, or kept as an Alertmanager's error, when it refuses also what it, or another one, is known to load."""

    def __init__(self) -> None:
        super().__init__("it refuses every configuration; can it read the file?", CONFIG)


@dataclass(frozen=True, slots=True)
class Instance:
    """What one Alertmanager said when it was asked last.

    `name` is host and port. `hash` is of the configuration it runs, `marker` the digest of the rendering it runs;
    only one of them is known. `reloaded` says whether its last reload succeeded, None where that is not known.
    `error` is why it did not answer, `refused` that it refused what it was told to load.
    """

    name: str
    version: str | None = None
    hash: int | None = None
    marker: str | None = None
    reloaded: bool | None = None
    error: AttemptError | None = field(default=None, compare=False)
    refused: bool = False

    def runs(self, text: bytes, digest: str) -> bool:
        """Whether it runs this configuration, which has that digest (empty if that is not known), and accepts it."""
        if self.error is not None or self.reloaded is False:
            return False
        return config_hash(text) == self.hash if self.hash is not None else bool(digest) and self.marker == digest


class _Version(msgspec.Struct):
    version: str = ""


class _Config(msgspec.Struct):
    original: str


class _Status(msgspec.Struct):
    """The part of `/api/v2/status` that is read."""

    config: _Config
    versionInfo: _Version = msgspec.field(default_factory=_Version)  # noqa: N815 - its name


_decode = msgspec.json.Decoder(_Status).decode


class Instances:
    """The Alertmanagers at these URLs. `reloads` counts reloads by name and result, see `RESULTS`."""

    def __init__(
        self, urls: Sequence[str], token_file: Path | None, ca_file: Path | None, amtool: Amtool, clock: Clock
    ) -> None:
        self._access = {name: Access(url, token_file, ca_file) for name, url in named(urls).items()}
        self._amtool = amtool
        self._clock = clock
        self._capabilities: dict[str, tuple[str | None, Capabilities]] = {}
        self._requests: dict[str, Request] = {}
        self.reloads: Counter[tuple[str, str]] = Counter()

    @property
    def names(self) -> tuple[str, ...]:
        """Host and port of each, in the order of the setting."""
        return tuple(self._access)

    def versions(self) -> tuple[str | None, ...]:
        """The version of each, as it was when it last answered; None before it did."""
        return tuple(self._capabilities[name][0] if name in self._capabilities else None for name in self.names)

    def look(self, deadline: Deadline) -> tuple[Instance, ...]:
        """What each of them runs now. One that does not answer leaves most of the time to the others."""
        seconds = max(0.0, deadline.remaining()) * LOOK_SHARE
        share = Deadline(self._clock, float(f"{seconds:.2g}"))  # errors name it
        share.stopping = deadline.stopping
        return self._each(self.names, lambda name: self._look(name, share), share)

    def reload(self, names: Sequence[str], deadline: Deadline) -> tuple[Instance, ...]:
        """Tell these to load the file, and look what they run then."""
        return self._each(names, lambda name: self._reload(name, deadline), deadline)

    def capabilities(self, seen: Sequence[Instance], deadline: Deadline) -> Capabilities:
        """What all of them know: of one that does not answer what it knew when it last did."""
        for one in seen:
            known = self._capabilities.get(one.name)
            if one.error is None and (known is None or known[0] != one.version):
                self._probe(one, deadline)
        found = [known for _, known in self._capabilities.values()]
        if not found:
            return self._amtool.capabilities(deadline)
        return Capabilities(all(one.http_headers for one in found), all(one.utf8 for one in found))

    def _probe(self, one: Instance, deadline: Deadline) -> None:
        """Learn what an Alertmanager knows: by a check of the same version's tool, else by what it shows of itself."""
        with suppress(AttemptError):
            if one.version is not None and self._amtool.version(deadline) == one.version:
                self._capabilities[one.name] = one.version, self._amtool.capabilities(deadline)
                return
        try:
            status, metrics = self._status(one.name, deadline), self._get(one.name, "/metrics", deadline)
        except AttemptError:
            return
        headers = HEADERS_FIELD.search(status.config.original) is not None
        utf8 = UTF8_METRIC in metrics.body if metrics.status == 200 else headers
        self._capabilities[one.name] = one.version, Capabilities(headers, utf8)

    def _each(self, names: Sequence[str], ask: Callable[[str], Instance], deadline: Deadline) -> tuple[Instance, ...]:
        """Ask these in parallel, until the deadline."""
        calls = {name: Call(partial(_answered, name, partial(ask, name))) for name in names}
        for name, call in calls.items():
            spawn(f"alertmanager-{name}", call.run)
        for call in calls.values():
            self._clock.wait(call.ended, max(0.0, deadline.remaining()))
        late = Transient(f"it did not answer within {deadline.seconds:g} s", TIMEOUT)
        for name, call in calls.items():
            if not call.answered and name in self._requests:
                self._requests[name].cut()
        return tuple(call.result() if call.answered else Instance(name, error=late) for name, call in calls.items())

    def _look(self, name: str, deadline: Deadline) -> Instance:
        answer = self._get(name, "/metrics", deadline)
        text = answer.body.decode("utf-8", "replace")
        found = dict(_METRIC.findall(text)) if answer.status == 200 else {}
        if "alertmanager_config_hash" not in found:
            return self._look_at_status(name, deadline)
        version = _VERSION.search(text)
        return Instance(
            name,
            version=version[1] if version else None,
            hash=_whole(found["alertmanager_config_hash"]),
            reloaded=found.get("alertmanager_config_last_reload_successful", "1") != "0",
        )

    def _look_at_status(self, name: str, deadline: Deadline) -> Instance:
        """What an Alertmanager runs whose metrics are not served."""
        status = self._status(name, deadline)
        marker = _MARKER.search(status.config.original)
        return Instance(name, version=status.versionInfo.version or None, marker=marker[1] if marker else "")

    def _reload(self, name: str, deadline: Deadline) -> Instance:
        try:
            answer = self._request(name, "POST", "/-/reload", deadline)
            refused = answer.status == 500 and answer.body.startswith(REFUSAL)
            if answer.status != 500:
                judge(answer)
            after = self._look(name, deadline)
        except AttemptError:
            self.reloads[name, "failed"] += 1
            raise
        if answer.status == 500:
            refused = after.reloaded is False if after.reloaded is not None else refused
            self.reloads[name, "refused" if refused else "failed"] += 1
            error = Permanent("it refuses the configuration", CONFIG) if refused else Transient("it answered 500", API)
            return replace(after, error=error, refused=refused)
        self.reloads[name, "success"] += 1
        return after

    def _status(self, name: str, deadline: Deadline) -> _Status:
        answer = self._get(name, "/api/v2/status", deadline)
        judge(answer)
        try:
            return _decode(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            message = "something else than Alertmanager answers at this URL"
            raise Permanent(message, CONFIG) from None

    def _get(self, name: str, path: str, deadline: Deadline) -> Answer:
        return self._request(name, "GET", path, deadline)

    def _request(self, name: str, method: str, path: str, deadline: Deadline) -> Answer:
        request = self._requests[name] = Request(self._access[name], method, path, self._clock, LARGEST)
        return request.run(deadline)


def named(urls: Sequence[str]) -> Mapping[str, str]:
    """URLs by what is shown of them: host and port, and a number for a further one behind the same."""
    found: dict[str, str] = {}
    for url in urls:
        shown = name = urlsplit(url).netloc
        number = 1
        while name in found:
            number += 1
            name = f"{shown}#{number}"
        found[name] = url
    return found


def _answered(name: str, ask: Callable[[], Instance]) -> Instance:
    """What an Alertmanager said, or why it did not."""
    try:
        return ask()
    except AttemptError as error:
        return Instance(name, error=error)


def _whole(number: str) -> int | None:
    try:
        return int(float(number))
    except (ValueError, OverflowError):
        return None


def failure(seen: Sequence[Instance]) -> AttemptError | None:
    """The error of an attempt in which these answered so: one that a retry may mend goes first; None without one."""
    errors = [(one.name, one.error) for one in seen if one.error is not None]
    errors.sort(key=lambda named_error: not isinstance(named_error[1], Transient))
    if not errors:
        return None
    name, error = errors[0]
    more = f" (and {len(errors) - 1} more of {len(seen)} Alertmanagers failed)" if len(errors) > 1 else ""
    message, arguments = f"Alertmanager {name}: {error}{more}", [error.error_type]
    if isinstance(error, Transient):
        return Transient(message, error.error_type, error.retry_after)
    return Permanent(message, *arguments)
