"""`amtool check-config`: whether Alertmanager would load a configuration, without one that runs."""

from __future__ import annotations

import errno
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from alert_refresh.alertmanager.file import ConfigFile, unwritable
from alert_refresh.alertmanager.inputs import UNKNOWN, Capabilities
from alert_refresh.engine import Transient
from alert_refresh.engine.errors import TIMEOUT
from alert_refresh.files import write as atomic_file
from alert_refresh.files.at_rest import signature

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from alert_refresh.engine import Deadline

PLAIN = "route: {receiver: none}\nreceivers: [{name: none}]\n"
HEADERS = (
    "route: {receiver: none}\n"
    "receivers: [{name: none, webhook_configs: [{url: 'http://127.0.0.1/', http_config: {http_headers: {X-A: "
    "{values: [b]}}}}]}]\n"
)
UTF8 = 'route: {receiver: none, routes: [{matchers: [\'"\u00e9"="a"\']}]}\nreceivers: [{name: none}]\n'
"""What is checked to learn whether a field is known."""
SHARE = 1 / 3
"""Of the time that an attempt has left, for one call: one that hangs leaves the rest to what goes on without it."""
MOST_FILES, MOST_BYTES = 256, 16 * 1024 * 1024
"""What is checked in one call, at most; a file may be larger."""
_VERDICT = re.compile(r"^Checking '[^'\n]*'(?=  (?:SUCCESS|FAILED))", re.MULTILINE)
"""What stands before the verdict on each file."""

TEMPLATES = re.compile(rb"^templates:.*\n(?:- .*\n)*", re.MULTILINE)
"""The files of templates in a configuration as it is written here."""
FORBIDDEN = frozenset((errno.EACCES, errno.EPERM, errno.EROFS))


class NoVerdict(Transient):
    """Raised when the tool cannot be started, does not end in time, or was ended by a signal, as where memory is short:
    that says nothing of a configuration.
    """


class Amtool:
    """The tool in the PATH, if there is one. What it checks is written to a 0600 file beside `file` meanwhile.

    Where that folder may not be written, the tool reads it from its input, without the files under `templates`, and
    `templates_checked` is False from then on.
    """

    def __init__(self, file: Path) -> None:
        self._file = ConfigFile(file)
        self.path = shutil.which("amtool")
        self._seen: tuple[int, ...] | None = None  # the signature of the tool of which the following is known
        self._version: str | None = None
        self._capabilities: Capabilities | None = None
        self.templates_checked = True

    def refuses(self, text: bytes, deadline: Deadline) -> bool:
        """Whether Alertmanager would refuse this configuration.

        Raises:
            Transient: it did not come to a verdict (`NoVerdict`).
            Transient, Permanent: the temporary file could not be written (`storage`).
        """
        return self._check([text], deadline).returncode != 0

    def refused(self, texts: Iterable[bytes], deadline: Deadline) -> Iterator[bool]:
        """Whether Alertmanager would refuse each of these, in their order; many are checked in one call.

        Raises:
            Transient, Permanent: see `refuses`; what was said before stands.
        """
        for some in _in_portions(texts):
            run = self._check(some, deadline)
            said = _VERDICT.split(run.stdout.decode("utf-8", "replace"))[1:]
            found = [not one.startswith("  SUCCESS") or "\n  FAILED: " in one for one in said]
            if len(found) == len(some) and any(found) == (run.returncode != 0):
                yield from found
            else:  # another version may say it in other words
                yield from (self.refuses(text, deadline) for text in some)

    def version(self, deadline: Deadline) -> str | None:
        """Its version, such as `0.25.0`; None without the tool."""
        self._look()
        if self.path is not None and self._version is None:
            said = self._run(deadline, "--version").stdout.decode("utf-8", "replace")
            found = re.match(r"amtool, version (\S+)", said)
            self._version = found[1] if found else ""
        return self._version

    def capabilities(self, deadline: Deadline) -> Capabilities:
        """What Alertmanager of the tool's version knows; unknown without the tool."""
        if self.path is None:
            return UNKNOWN
        self._look()
        if self._capabilities is None:
            if self.refuses(PLAIN.encode(), deadline):
                return UNKNOWN
            known = [not self.refuses(text.encode(), deadline) for text in (HEADERS, UTF8)]
            self._capabilities = Capabilities(*known)
        return self._capabilities

    def _look(self) -> None:
        """Forget what is known of the tool if it was replaced, as by an upgrade together with Alertmanager."""
        seen = None
        with suppress(OSError):
            seen = None if self.path is None else signature(Path(self.path).stat())
        if seen != self._seen:
            self._seen, self._version, self._capabilities = seen, None, None

    def _check(self, texts: Sequence[bytes], deadline: Deadline) -> subprocess.CompletedProcess[bytes]:
        temporary = [atomic_file.temporary_for(self._file.real) for _ in texts]
        try:
            for path, text in zip(temporary, texts, strict=True):
                atomic_file.write_new(path, text)
            return self._run(deadline, "check-config", *map(str, temporary))
        except OSError as error:
            if error.errno not in FORBIDDEN:
                raise unwritable(error) from error
        finally:
            for path in temporary:
                with suppress(OSError):
                    path.unlink()
        # From its input relative paths would count from /dev, where it must not look for files. Of several, which
        # it cannot be given, none has a verdict, so that each is checked by itself.
        self.templates_checked = False
        return self._run(deadline, "check-config", given=TEMPLATES.sub(b"", texts[0]))

    def _run(self, deadline: Deadline, *arguments: str, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        assert self.path is not None
        seconds = deadline.check() * SHARE
        try:
            # Without an environment it reads no configuration of its own, and its output is never shown.
            run = subprocess.run(  # noqa: S603 - the tool of the PATH
                [self.path, *arguments], env={}, input=given, capture_output=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired:
            raise NoVerdict(f"amtool did not end within {seconds:.3g} s", TIMEOUT) from None
        except OSError as error:
            raise NoVerdict("amtool cannot be started") from error
        if run.returncode < 0:
            raise NoVerdict(f"amtool was ended by signal {-run.returncode}; is there enough memory for it?")
        return run


def _in_portions(texts: Iterable[bytes]) -> Iterator[list[bytes]]:
    """These in lists that one call checks."""
    some: list[bytes] = []
    size = 0
    for text in texts:
        if some and (len(some) == MOST_FILES or size + len(text) > MOST_BYTES):
            yield some
            some, size = [], 0
        some.append(text)
        size += len(text)
    if some:
        yield some
