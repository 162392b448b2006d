"""Inputs that make every fault a setting may have; docs/faults-settings.md is made of them.

To write it anew: `python -m tests.faults_table_settings`.
"""

from __future__ import annotations

import importlib.util
import socket
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from alert_refresh.address import Address, error_of, parse, reason
from alert_refresh.daemon import read_config
from alert_refresh.engine import ConfigErrors
from alert_refresh.views.view_file import LARGEST
from alert_refresh.web.token_file import LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

DOCUMENT = Path(__file__).parents[1] / "docs" / "faults-settings.md"
CANARY = "canary-6c2e"
FOLDER = "/etc/alert-refresh"
"""What the table shows for the folder of the files below."""
HEAD = """# Faults of settings

What `alert-refresh serve` and `alert-refresh check` say of an environment variable that is wrong, as
`NAME='value': message`, each on a line of standard error. All faults are reported together, and the exit status is 2.
A value that may hold a credential is shown as `***`. Where several settings have the same kind of fault, one of them is
the example. Tests make these tables and compare them.

| setting | message | for example |
|---|---|---|
"""
START = """
The address is tried when the server starts. `Cannot listen on ALERT_REFRESH_BIND=...: message` is logged, and the exit
status is 1.

| setting | message | for example |
|---|---|---|
"""
WARNINGS = """
What is allowed but was probably not meant is a WARNING at the start, and a line on standard error of
`alert-refresh check`.

| message | for example |
|---|---|
"""
INTERVAL, BIND, TOKEN = "TARGET_REFRESH_INTERVAL", "ALERT_REFRESH_BIND", "ALERT_REFRESH_ADMIN_TOKEN"
SCHEDULE, NOTIFY, KEY = "TARGET_REFRESH_SCHEDULE", "ALERT_REFRESH_NOTIFY_URL", "ALERT_REFRESH_SNAPSHOT_KEY_FILE"
ALERTMANAGER = "ALERTMANAGER_URL"
DSN, REDIS, SELECTOR = "VIEWS_DATABASE_URL", "REDIS_URL", "TARGET_LABEL_SELECTOR"

VALUES: tuple[tuple[str, str], ...] = (
    (INTERVAL, '"5m"'),
    (INTERVAL, "\ufeff5m"),
    (INTERVAL, "5m "),
    (INTERVAL, "${INTERVAL}"),
    (INTERVAL, "$INTERVAL"),
    (INTERVAL, "5m # often"),
    (INTERVAL, "5\u200bm"),
    (INTERVAL, "often"),
    (INTERVAL, "5"),
    (INTERVAL, "-5m"),
    (INTERVAL, "5 m"),
    (INTERVAL, "1d"),
    (INTERVAL, "\u0665m"),
    (INTERVAL, "0s"),
    (INTERVAL, "2562048h"),
    ("TARGET_REFRESH_MAX_RETRIES", "five"),
    ("TARGET_REFRESH_MAX_RETRIES", "-1"),
    ("TARGET_REFRESH_JITTER", "maybe"),
    ("TARGET_REFRESH_BASE_BACKOFF", "10m"),
    ("ALERT_REFRESH_DEBUG_SAMPLE", "10%"),
    ("ALERT_REFRESH_LOG_LEVEL", "LOUD"),
    ("ALERT_REFRESH_LOG_LEVEL", "warn"),
    ("TARGET_REFRESH_TIMOUT", "30s"),
    ("TARGET_REFRESH_COLOUR", "red"),
    (BIND, "http://127.0.0.1:8080"),
    (BIND, "unix:run/alert-refresh.sock"),
    (BIND, "/run/alert-refresh.sock"),
    (BIND, "unix:/" + "a" * 107),
    (BIND, "8080"),
    (BIND, "::1"),
    (BIND, "*:8080"),
    (BIND, "127.0.0.1:65536"),
    (BIND, "[127.0.0.1]:8080"),
    (BIND, "8080:8080"),
    (BIND, "a b:8080"),
    (BIND, "0.0.0.0:8080"),
    ("ALERT_REFRESH_TRUSTED_PROXIES", "10.0.0.0/33"),
    ("ALERT_REFRESH_PATH_PREFIX", "ops/alert-refresh"),
    ("ALERT_REFRESH_PATH_PREFIX", "/api/alert-refresh"),
    ("K8S_NAMESPACE", ","),
    (TOKEN, ""),
    (TOKEN, f"'{CANARY}'"),
    (TOKEN, f"TOKEN={CANARY}"),
    (TOKEN, "$TOKEN"),
    (TOKEN, f"Bearer {CANARY}"),
    (TOKEN, f"{CANARY} {CANARY}"),
    (TOKEN, f"{CANARY}\u00e4"),
    (TOKEN, f"{FOLDER}/token"),
    (f"{TOKEN}_FILE", f"{FOLDER}/none"),
    (f"{TOKEN}_FILE", FOLDER),
    (f"{TOKEN}_FILE", "/dev/null"),
    (f"{TOKEN}_FILE", f"{FOLDER}/large"),
    (f"{TOKEN}_FILE", f"{FOLDER}/empty"),
    (f"{TOKEN}_FILE", f"{FOLDER}/words"),
    ("TARGET_DIRECTORY", "file:///etc/targets"),
    ("TARGET_DIRECTORY", "~/targets"),
    ("TARGET_SOURCE", "directory"),
    ("KUBECONFIG", f"https://user:{CANARY}@10.0.0.1:6443"),
    ("K8S_NAMESPACE", "Monitoring"),
    (SELECTOR, "=true"),
    (SELECTOR, "app!slack"),
    (SELECTOR, 'app="slack"'),
    (SELECTOR, "app in slack"),
    (SELECTOR, "app in ()"),
    (SELECTOR, "weight>heavy"),
    (SELECTOR, "app=slack env=test"),
    (SELECTOR, "app=slack,"),
    (SELECTOR, "a" * 5000),
    ("RULES_REFRESH_ADAPTIVE_MAX", "30s"),
    ("TARGET_REFRESH_MAX_REMOVAL", "0.5"),
    ("TARGET_REFRESH_BREAKER_FAILURES", "never"),
    (SCHEDULE, "* * * * * *"),
    (SCHEDULE, "5 * * *"),
    (SCHEDULE, "61 * * * *"),
    (SCHEDULE, "* * * * MON-FRY"),
    (SCHEDULE, "30-10 * * * *"),
    (SCHEDULE, "*/90 * * * *"),
    (SCHEDULE, "TZ=Europe/Berlin 0 4 * * *"),
    (SCHEDULE, "@dayly"),
    (SCHEDULE, "@reboot"),
    (SCHEDULE, "0 0 30 2 *"),
    (SCHEDULE, "0 0 */15 2 MON#5"),
    (SCHEDULE, "*," * 300 + "*"),
    ("ALERT_REFRESH_TIMEZONE", "Europe/Berln"),
    ("ALERT_REFRESH_TIMEZONE", "Mars/Base"),
    (KEY, f"{FOLDER}/none"),
    (KEY, f"{FOLDER}/open"),
    (KEY, f"{FOLDER}/token"),
    ("ALERT_REFRESH_SNAPSHOT_MAX_AGE", "1d"),
    ("ALERT_REFRESH_SNAPSHOT_MAX_AGE", "0s"),
    (NOTIFY, f"ftp://hooks.example.com/{CANARY}"),
    (NOTIFY, f"https://https://hooks.example.com/{CANARY}"),
    (NOTIFY, f"https://169.254.169.254/{CANARY}"),
    ("ALERT_REFRESH_NOTIFY_FORMAT", "teams"),
    (f"{NOTIFY}_FILE", f"{FOLDER}/none"),
    (f"{NOTIFY}_FILE", f"{FOLDER}/empty"),
    (f"{NOTIFY}_FILE", f"{FOLDER}/token"),
    ("VIEWS", ","),
    ("VIEWS", '"mv_a,mv_b"'),
    ("VIEWS", "mv_a,mv_a"),
    ("VIEWS", "sales-2024"),
    ("VIEWS", "a" * 64),
    ("VIEWS", "pg_catalog.pg_views"),
    ("VIEWS", "a.mv_entity_ancestors,b.mv_entity_ancestors"),
    ("VIEWS", f"postgresql://user:{CANARY}@host/database"),
    ("VIEWS_HISTORY_RETENTION", "30"),
    (DSN, f"jdbc:postgresql://user:{CANARY}@host/database"),
    (DSN, f"postgresql://user:{CANARY}/{CANARY}@host/database"),
    (DSN, f"postgresql://user:{CANARY}@{CANARY}@host/database"),
    (DSN, f"postgresql://user:{CANARY}@host/database?sslmode=on"),
    (REDIS, f"redis://:{CANARY}/{CANARY}@host/0"),
    (REDIS, f"redis://:{CANARY}@host/zero"),
    (REDIS, f"redis://:{CANARY}@one,two/0"),
    (ALERTMANAGER, "localhost:9093"),
    (ALERTMANAGER, "http://[localhost:9093"),
    (ALERTMANAGER, f"http://user:{CANARY}@localhost:9093"),
    (ALERTMANAGER, "http://localhost:9093/?x=y"),
    (ALERTMANAGER, "http://localhost:9093,http://localhost:9093"),
    ("ALERTMANAGER_CONFIG_FILE", "/etc/alertmanager.yml"),
    ("ALERTMANAGER_ROUTES", "labels"),
)
"""One variable with a value each."""
TOGETHER: tuple[Mapping[str, str], ...] = (
    {TOKEN: CANARY, f"{TOKEN}_FILE": f"{FOLDER}/token"},
    {INTERVAL: "5m", SCHEDULE: "@hourly"},
    {NOTIFY: f"https://hooks.example.com/{CANARY}", f"{NOTIFY}_FILE": f"{FOLDER}/token"},
    {"RULES_REFRESH_ADAPTIVE": "true", "RULES_REFRESH_SCHEDULE": "@hourly"},
    {"ALERTMANAGER_CONFIG_FILE": "/etc/alertmanager.yml", "ALERTMANAGER_CONFIG_TEMPLATE": "/etc/alertmanager.yml"},
    {
        "ALERTMANAGER_CONFIG_FILE": "/etc/alertmanager.yml",
        "ALERTMANAGER_CONFIG_TEMPLATE": "/etc/alertmanager.yml.previous",
    },
    {
        "ALERTMANAGER_MIN_RELOAD_INTERVAL": "5m",
        "ALERTMANAGER_CONFIG_FILE": "/etc/alertmanager.yml",
        "ALERTMANAGER_CONFIG_TEMPLATE": "/etc/template.yml",
    },
    {
        "ALERTMANAGER_CONFIG_FILE": "/etc/alertmanager.yml",
        "ALERTMANAGER_CONFIG_TEMPLATE": "/etc/template.yml",
        "ALERTMANAGER_ROUTES": "rules",
    },
)
VIEW_FILES = (
    None,
    "#" * (LARGEST + 1),
    "views: [",
    "view: []",
    "views: {}",
    "views: []\nviews: []",
    "views: [mv_a]",
    "views: [{name: mv_a, intervall: 1m}]",
    "views: [{name: mv_b, zz: 1}]",
    "views: [{name: entities}]",
    "views: [{name: mv_a}, {name: mv_a}]",
    "views: [{name: mv_a, interval: }]",
    "views: [{name: mv_a, interval: 5}]",
    "views: [{name: mv_a, interval: 1m, cron: '* * * * *'}]",
    "views: [{name: mv_a, cron: '* * * *'}]",
    "views: [{name: mv_a, cron: ''}]",
)
"""Contents of VIEWS_CONFIG_FILE with VIEWS=mv_a; None is none."""
ALLOWED: tuple[Mapping[str, str], ...] = (
    {"K8S_NAMESPACE": "monitoring,"},
    {"VIEWS": "mv_a,"},
    {"ALERT_REFRESH_TRUSTED_PROXIES": "10.1.2.3/8"},
    {"target_directory": "/etc/targets"},
    {"RULE_FILE": "/etc/rules.yaml"},
    {"TARGET_DIR": "/etc/targets"},
    {"NOTIFY_URL": f"https://hooks.example.com/{CANARY}"},
    {"ALERT_REFRESH_PORT": "8080"},
    {"ALERT_REFRESH_METRICS_PORT": "9090"},
    {"KUBECONFIG": "/root/.kube/config", "TARGET_DIRECTORY": "/etc/targets"},
    {"KUBERNETES_SERVICE_HOST": "10.0.0.1", "TARGET_DIRECTORY": "/etc/targets"},
    {"ALERTMANAGER_CONFIG_TEMPLATE": "/etc/template.yml"},
)
"""Variables that make warnings."""

Row = tuple[str, str, str]
"""A setting, a message, and what made it."""


def rows() -> Iterator[Row]:
    """Every fault of a setting, with what made it."""
    with _files() as folder:
        for environ in (*({name: value} for name, value in VALUES), *TOGETHER):
            yield from _faults(folder, environ, " ".join(f"{name}={value}" for name, value in environ.items()))
        for name, module in ((DSN, "psycopg_pool"), (REDIS, "redis"), (KEY, "cryptography")):
            value = f"{FOLDER}/token" if name == KEY else f"redis://:{CANARY}@host/0"
            with mock.patch.object(importlib.util, "find_spec", _without(module)):
                yield from _faults(folder, {name: value}, f"{name}=... without its extra")
        for content in VIEW_FILES:
            file = folder / ("none" if content is None else "views.yaml")
            if content is not None:
                file.write_text(content)
            environ = {"VIEWS_CONFIG_FILE": str(file), "VIEWS": "mv_a"}
            yield from _faults(folder, environ, "a file that is missing" if content is None else content)


def start_rows() -> Iterator[Row]:
    """Every reason for which an address cannot be listened on."""
    with _files() as folder, socket.create_server(("127.0.0.1", 0)) as taken:
        used = f"127.0.0.1:{taken.getsockname()[1]}"
        for bind, shown in (
            (used, "127.0.0.1:8080, where another program listens"),
            ("192.0.2.1:8080", "192.0.2.1:8080"),
            ("nowhere.invalid:8080", "nowhere.invalid:8080"),
            (f"unix:{folder}/none/a.sock", "unix:/run/none/a.sock"),
            (f"unix:{folder}/token/a.sock", f"unix:{FOLDER}/token/a.sock"),
            (f"unix:{folder}/token", f"unix:{FOLDER}/token"),
        ):
            yield BIND, _why(parse(bind)), shown
        with mock.patch("os.access", return_value=False):
            yield BIND, _why(Address(f"{folder}/a.sock")), "unix:/a.sock in a folder that may not be written"


def warning_rows() -> Iterator[Row]:
    """Every warning about settings."""
    for environ in ALLOWED:
        for said in read_config(environ).warnings:
            yield "", said, " ".join(f"{name}={value}" for name, value in environ.items())


def table() -> str:
    """The rows as Markdown, one for each different message of a setting."""
    text = HEAD + _lines(rows()) + START + _lines(start_rows())
    return text + WARNINGS + "".join(line.removeprefix("|  ") for line in _lines(warning_rows()).splitlines(True))


def _lines(found: Iterator[Row]) -> str:
    seen: dict[tuple[str, str], str] = {}
    for name, message, given in found:
        seen.setdefault((name, message), given)
    return "".join(f"| {name} | {_cell(message)} | {_code(given)} |\n" for (name, message), given in seen.items())


def _faults(folder: Path, environ: Mapping[str, str], shown: str) -> Iterator[Row]:
    placed = {name: value.replace(FOLDER, str(folder)) for name, value in environ.items()}
    try:
        read_config(placed)
    except ConfigErrors as errors:
        yield from ((fault.field, fault.reason, shown) for fault in errors.faults)


def _why(address: Address) -> str:
    error = error_of(address)
    return "" if error is None else reason(error)


@contextmanager
def _files() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "token").write_text(CANARY)
        (folder / "token").chmod(0o600)
        (folder / "open").write_bytes(b"x" * 32)
        (folder / "open").chmod(0o644)
        (folder / "empty").touch()
        (folder / "large").write_bytes(b"x" * (LIMIT + 1))
        (folder / "words").write_text(f"{CANARY} {CANARY}")
        yield folder


def _without(module: str) -> Any:
    found = importlib.util.find_spec
    return lambda name, *rest: None if name == module else found(name, *rest)


def _code(text: str) -> str:
    written = ascii(text)[1:-1].replace(CANARY, "T0").replace("\\'", "'")
    shown = written if len(written) <= 100 else written[:97] + "..."
    return f"<code>{_cell(shown)}</code>"


def _cell(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("|", "\\|").replace("*", "\\*")


if __name__ == "__main__":
    DOCUMENT.write_text(table())
