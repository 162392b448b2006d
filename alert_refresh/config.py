"""The server's settings: a frozen `Config`, which holds those of the kinds too."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from alert_refresh.address import Address, parse
from alert_refresh.keep import settings as keep
from alert_refresh.observe import notify
from alert_refresh.schedules import timezone

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alert_refresh.env import Env, Token
    from alert_refresh.networks import Network

RESERVED_SHARE, LIST_SHARE = 1 / 8, 1 / 16
"""Shares of the threads: for status requests while all others are busy, and for long lists."""
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")
PREFIX = re.compile(r"(/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~-]+)+")
OWN_PATHS = ("api", "docs", "health", "healthz", "metrics", "page", "readyz", "runbooks")
"""First segments of the server's own paths: a prefix that begins with one would hide them."""


@dataclass(frozen=True, slots=True)
class Config:
    """Settings of the server; durations in seconds. `kinds` maps a kind's name to what its `read` returned.

    `host` is a name, an address, or the path of a Unix socket (then `port` is 0 and `unix` true). `path_prefix` is what
    a proxy leaves before the server's own paths, without a slash at its end; empty for none. `effective` is
    every variable that was read with the value in force, secrets masked. `warnings` are sentences about what is
    allowed but probably not meant.
    """

    host: str
    port: int
    threads: int
    max_streams: int
    shutdown_timeout: float
    log_level: str
    log_format: str
    debug_sample: float
    admin_token: Token | None
    read_token: Token | None
    kinds: Mapping[str, Any]
    trusted_proxies: tuple[Network, ...] = ()
    unix: bool = False
    notify: notify.NotifySettings | None = None
    effective: Mapping[str, str] = field(default_factory=dict)
    keep: keep.Settings = field(default_factory=keep.Settings)
    warnings: tuple[str, ...] = ()
    path_prefix: str = ""

    @property
    def bind(self) -> str:
        """The address as text: `127.0.0.1:8080`, `[::1]:8080` or `unix:/run/alert-refresh.sock`."""
        if self.unix:
            return f"unix:{self.host}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def shares(threads: int) -> tuple[int, int, int]:
    """How many threads answer any request, are reserved for status requests, and answer long lists."""
    reserved, lists = max(1, int(threads * RESERVED_SHARE)), max(1, int(threads * LIST_SHARE))
    return threads - reserved - lists, reserved, lists


def read_server(env: Env, kinds: Mapping[str, Any]) -> Config:
    """The server's settings; faults are left in `env`."""
    address, admin = _access(env)
    _note_client(env)
    timezone(env)  # kinds read it too; here it is listed with the server's settings
    read = env.token(
        "ALERT_REFRESH_READ_TOKEN",
        "Bearer token that ?reveal=true needs (the admin token does too)",
        "File that holds the read token, one per line, read again when it changes",
    )
    threads, max_streams = _threads(env)
    return Config(
        host=address.host,
        port=address.port,
        threads=threads,
        max_streams=max_streams,
        shutdown_timeout=env.duration(
            "ALERT_REFRESH_SHUTDOWN_TIMEOUT",
            "25s",
            "How long a running refresh may take to finish when the daemon is told to stop",
        ),
        log_level=env.choice("ALERT_REFRESH_LOG_LEVEL", "INFO", LOG_LEVELS, "DEBUG, INFO, WARNING or ERROR"),
        log_format=env.choice("ALERT_REFRESH_LOG_FORMAT", "json", ("json", "console"), "json, or console for people"),
        debug_sample=env.fraction(
            "ALERT_REFRESH_DEBUG_SAMPLE", 0.1, "Share of requests whose DEBUG lines are kept, from 0 to 1"
        ),
        admin_token=admin,
        read_token=read,
        kinds=kinds,
        trusted_proxies=env.networks(
            "ALERT_REFRESH_TRUSTED_PROXIES",
            "Networks of the proxies whose X-Forwarded-For and X-Forwarded-Proto are believed, separated by commas; "
            "unset: nobody's",
        ),
        unix=address.unix,
        notify=notify.read(env),
        effective=MappingProxyType(env.effective),
        keep=keep.read(env),
        path_prefix=_path_prefix(env),
    )


def _path_prefix(env: Env) -> str:
    """The prefix of paths without a slash at its end; empty for none."""
    name = "ALERT_REFRESH_PATH_PREFIX"
    prefix = env.text(
        name, means="Path below which a proxy that does not take it off asks, such as /ops/alert-refresh; unset: none"
    ).rstrip("/")
    if prefix and not PREFIX.fullmatch(prefix):
        env.fault(name, "must be a path such as /ops/alert-refresh, of letters, digits and ._~-")
    elif prefix and prefix.split("/")[1] in OWN_PATHS:
        env.fault(name, "begins with a path of the daemon itself")
    return prefix


def _note_client(env: Env) -> None:
    """The settings of the commands that ask a daemon: known, so that an environment may be shared, and not used."""
    env.note(
        "ALERT_REFRESH_URL",
        "",
        "Where commands such as alert-refresh status find the daemon, as http://HOST:PORT, https://HOST/PREFIX/ or "
        "unix:/PATH; unset: at ALERT_REFRESH_BIND. The daemon does not use it",
    )
    env.note(
        "ALERT_REFRESH_CLIENT_TOKEN_FILE",
        "",
        "File with the token that these commands send; unset: the admin token's file, to a daemon on this machine "
        "only. The daemon does not use it",
    )


def _threads(env: Env) -> tuple[int, int]:
    """Threads that answer requests, and how many of them may wait at once: never all, or nothing else is answered."""
    threads = env.integer("ALERT_REFRESH_THREADS", 32, "Threads that answer HTTP requests", minimum=4, maximum=1000)
    most = shares(threads)[0] - 1
    streams = env.optional_integer(
        "ALERT_REFRESH_MAX_STREAMS",
        min(threads // 2, most),
        "Event streams and blocking queries at once, each of which holds a thread; unset: half of the threads",
        minimum=1,
        maximum=most,
    )
    return threads, streams


def _access(env: Env) -> tuple[Address, Token | None]:
    """Where to listen, and the admin token, which is required on every address but loopback."""
    address = _bind(env)
    admin = env.token(
        "ALERT_REFRESH_ADMIN_TOKEN",
        "Bearer token that every POST but rules/match needs",
        "File that holds the admin token, one per line, read again when it changes",
    )
    open_to_all = env.boolean(
        "ALERT_REFRESH_ALLOW_UNAUTHENTICATED", "Let anyone refresh, on any address, without a token", default=False
    )
    wanted = admin is not None or env.is_wrong("ALERT_REFRESH_ADMIN_TOKEN", "ALERT_REFRESH_ADMIN_TOKEN_FILE")
    if not wanted and not open_to_all and not address.unix and not address.loopback:
        env.fault(
            "ALERT_REFRESH_BIND",
            "is not loopback and ALERT_REFRESH_ADMIN_TOKEN is not set;"
            " set it, or ALERT_REFRESH_ALLOW_UNAUTHENTICATED=true to let anyone refresh",
        )
    return address, admin


def _bind(env: Env) -> Address:
    text = env.text(
        "ALERT_REFRESH_BIND",
        "127.0.0.1:8080",
        "Address and port to listen on; anything but loopback needs an admin token",
    )
    try:
        return parse(text)
    except ValueError as error:
        env.fault("ALERT_REFRESH_BIND", str(error))
        return Address("127.0.0.1", 8080)
