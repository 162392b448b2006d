"""Where notifications go. The whole URL is a credential, as those of chat services are; only its host is shown."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from alert_refresh.credential import MASK, Credential
from alert_refresh.engine import AttemptError, Permanent
from alert_refresh.files.read import READ_ONLY, read_descriptor
from alert_refresh.targets.secret.url import check

if TYPE_CHECKING:
    from pathlib import Path

    from alert_refresh.env import Env

NAME = "ALERT_REFRESH_NOTIFY_URL"
FORMATS = ("generic", "slack", "alertmanager")
LIMIT = 64 * 1024
"""Bytes of a file that holds a URL; a longer one is refused."""
USER_INFO = re.compile(r"(?<=://)[^/?#]*@")
UNUSABLE = "config"


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """The URL as it was at the start, the `file` it is read from again before each request, and the form of bodies."""

    url: Credential
    file: Path | None
    format: str

    @property
    def host(self) -> str:
        """Where notifications go, without anything that is secret."""
        return urlsplit(self.url.reveal()).hostname or ""

    def current(self) -> Credential:
        """The URL that is valid now: of the file, while it holds a usable one, else that of the start."""
        if self.file is None:
            return self.url
        try:
            return read_url(self.file)
        except (OSError, AttemptError):
            return self.url


def describe(settings: NotifySettings | None) -> str:
    """Where notifications go, as a line for people."""
    if settings is None:
        return f"notifications: off; to switch them on, set {NAME}"
    return f"notifications: to {settings.host} in the format {settings.format}"


def read(env: Env) -> NotifySettings | None:
    """The settings of notifications; None if there are to be none. Faults are left in `env`."""
    value = env.credential(
        NAME, "URL that gets a POST when a kind keeps failing, when removals are held, and when that is over"
    )
    file = env.path(f"{NAME}_FILE", "File that holds the notification URL, read again before each notification")
    form = env.choice(
        "ALERT_REFRESH_NOTIFY_FORMAT",
        FORMATS[0],
        FORMATS,
        "generic, slack (an incoming webhook), or alertmanager (its API v2)",
    )
    if value is not None and file is not None:
        env.fault(f"{NAME}_FILE", f"{NAME} is set too; set one of them")
    if value is not None:
        if problem := unusable(value.reveal()):
            env.fault(NAME, problem, MASK)
        return NotifySettings(value, None, form)
    if file is None:
        return None
    try:
        return NotifySettings(read_url(file), file, form)
    except AttemptError as error:
        env.fault(f"{NAME}_FILE", str(error))
    except OSError as error:
        env.fault(f"{NAME}_FILE", f"the file cannot be read ({type(error).__name__})")
    return None


def unusable(url: str) -> str | None:
    """What is wrong with a URL, without showing it; user name and password may be in it."""
    problem = check(USER_INFO.sub("", url, count=1))
    return None if problem is None else problem.partition(": ")[2]


def read_url(file: Path) -> Credential:
    """The URL in a file, which holds nothing else.

    Raises:
        OSError: it cannot be opened or read.
        AttemptError: it is not a regular file, too long, changed while it was read, or holds no usable URL.
    """
    content = read_descriptor(os.open(file, READ_ONLY & ~os.O_NOFOLLOW), "the file", LIMIT)
    url = content.strip()
    if not url:
        raise Permanent("the file is empty", UNUSABLE)
    problem = unusable(url.decode("ascii")) if url.isascii() else "it is not ASCII"
    if problem:
        raise Permanent(f"the URL in the file cannot be used: {problem}", UNUSABLE)
    return Credential(url.decode("ascii"))
