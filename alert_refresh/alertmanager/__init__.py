"""The kind `alertmanager`: what is fresh becomes what Alertmanager delivers.

It builds upon targets and rules: what they publish is rendered into the user's template, written as a whole, loaded by
every Alertmanager, and verified.
"""

from __future__ import annotations

from dataclasses import dataclass
from os.path import realpath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from alert_refresh.alertmanager.file import PREVIOUS
from alert_refresh.alertmanager.inputs import Mode
from alert_refresh.credential import MASK
from alert_refresh.kind import Kind

if TYPE_CHECKING:
    from pathlib import Path

    from alert_refresh.alertmanager.dry import DryRun
    from alert_refresh.engine import Clock, RefreshSettings, Source
    from alert_refresh.env import Env
    from alert_refresh.kind import Before

PREFIX = "ALERTMANAGER_REFRESH_"
FILE, TEMPLATE, URL = "ALERTMANAGER_CONFIG_FILE", "ALERTMANAGER_CONFIG_TEMPLATE", "ALERTMANAGER_URL"
INTERVAL = "ALERTMANAGER_MIN_RELOAD_INTERVAL"


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the kind. `file` None means off; without `urls` the file is only written.

    `min_reload_interval` is in seconds.
    """

    refresh: RefreshSettings
    template: Path | None
    file: Path | None
    urls: tuple[str, ...]
    routes: Mode
    token_file: Path | None
    ca_file: Path | None
    min_reload_interval: float


def read(env: Env) -> Settings:
    """Read the settings; faults are collected in `env`."""
    template = env.path(TEMPLATE, "Your own alertmanager.yml, to which receivers and routes are added; required")
    file = env.path(FILE, "The file that Alertmanager reads, which is written; unset: the kind is off")
    urls = _urls(env)
    settings = Settings(
        refresh=env.refresh(
            PREFIX, {"timeout": "Longest time of one attempt, from rendering to verifying"}, rate_limit="1s"
        ),
        template=template,
        file=file,
        urls=tuple(urls),
        routes=_routes(env, on=file is not None),
        token_file=env.path("ALERTMANAGER_BEARER_TOKEN_FILE", "File with the token that Alertmanager asks for"),
        ca_file=env.path("ALERTMANAGER_CA_FILE", "File with the certificates to trust instead of the system's"),
        min_reload_interval=env.duration(
            INTERVAL,
            "1s",
            "Shortest time between two reloads, each of which cuts Alertmanager's group_interval short",
            zero=True,
        ),
    )
    _together(env, template, file, urls)
    wrong = any(fault.field.startswith((PREFIX, INTERVAL)) for fault in env.faults)
    if file is not None and not wrong and settings.min_reload_interval > settings.refresh.timeout / 2:
        timeout = PREFIX + "TIMEOUT"
        env.fault(
            INTERVAL,
            f"must not be more than half of {timeout}, which is {env.effective[timeout]}",
            env.effective[INTERVAL],
        )
    return settings


def _urls(env: Env) -> list[str]:
    """The URLs of Alertmanagers. A path may hold a credential, so hosts alone are among the settings in force."""
    urls = env.elements(URL, "", "Where Alertmanager answers, one or several, separated by commas; unset: write only")
    faults = [fault for url in urls if (fault := _unusable(url))]
    for fault in faults:
        env.fault(URL, fault, MASK)
    if faults:
        env.effective[URL] = MASK
        return urls
    env.effective[URL] = ",".join(map(_shown, urls))
    bases = {(one.scheme, one.netloc.lower(), one.path.rstrip("/")) for one in map(urlsplit, urls)}
    if len(bases) < len(urls):
        env.fault(URL, "names one Alertmanager twice", MASK)
    return urls


def _shown(url: str) -> str:
    """Scheme, host and port of a URL."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}{f'/{MASK}' if parts.path.strip('/') else ''}"


def _routes(env: Env, *, on: bool) -> Mode:
    rules = bool(env.peek("RULES_FILE"))
    chosen = env.choice(
        "ALERTMANAGER_ROUTES",
        "auto",
        ("auto", *Mode),
        "Where routes come from: rules, filters (the filter_config of each target), none but the template's, or auto, "
        "which is rules if RULES_FILE is set, else filters",
    )
    if chosen == "auto":
        return Mode.RULES if rules else Mode.FILTERS
    if chosen == Mode.RULES and not rules and on:
        env.fault("ALERTMANAGER_ROUTES", "is rules, and RULES_FILE is not set")
    return Mode(chosen)


def _together(env: Env, template: Path | None, file: Path | None, urls: list[str]) -> None:
    """What is wrong with settings that are right by themselves."""
    if file is None:
        if template is not None or urls:
            env.warnings.append(f"{FILE} is not set, so nothing is written for Alertmanager")
    elif template is None and not env.is_wrong(TEMPLATE):
        env.fault(TEMPLATE, f"is not set and {FILE} is")
    elif template is not None and realpath(template) == realpath(file):
        env.fault(TEMPLATE, f"names the same file as {FILE}, which is written")
    elif template is not None and realpath(template) == realpath(file) + PREVIOUS:
        env.fault(TEMPLATE, f"names the file with {PREVIOUS} beside {FILE}, which is written")


def _unusable(url: str) -> str | None:
    """What is wrong with the URL of an Alertmanager, without showing it."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
        # What no request can be made of would end the attempt for the other Alertmanagers, too.
        (host or "").encode("idna")
        askable = all("!" <= character <= "~" for character in parts.path)
    except ValueError:
        askable = False
    if not askable:
        return "has a URL that cannot be read"
    if parts.scheme not in ("http", "https") or not host:
        return "has an element that is no URL such as http://localhost:9093"
    if "@" in parts.netloc:
        return "has a URL with a user name or password; use ALERTMANAGER_BEARER_TOKEN_FILE"
    if parts.query or parts.fragment:
        return "has a URL with a query or a fragment; write the base URL"
    return None


def build(settings: Settings, clock: Clock, before: Before) -> Source[Any] | None:
    """The source for these settings; None if the kind is off, or there are no targets."""
    if settings.file is None or "targets" not in before:
        return None
    from alert_refresh.alertmanager.source import AlertmanagerSource

    return AlertmanagerSource(settings, upon(settings, before), clock)


def build_check(settings: Settings, clock: Clock, before: Before) -> DryRun | None:
    """The source that `alert-refresh check`, `plan` and `render` read instead: it writes and reloads nothing."""
    if settings.file is None or "targets" not in before:
        return None
    from alert_refresh.alertmanager.dry import DryRun

    return DryRun(settings, upon(settings, before), clock)


def upon(settings: Settings, before: Before) -> Before:
    """The workers of the kinds that are delivered: targets, and rules where they are routed by."""
    names = ("targets", "rules") if settings.routes is Mode.RULES else ("targets",)
    return {name: before[name] for name in names if name in before}


KIND = Kind(
    name="alertmanager",
    prefix=PREFIX,
    error_types=(
        "network", "timeout", "dns", "tls", "auth", "api", "config", "storage", "validate", "too_large", "unknown",
    ),
    buckets=(0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60),
    read=read,
    build=build,
    build_check=build_check,
    enable_hint="set ALERTMANAGER_CONFIG_FILE and ALERTMANAGER_CONFIG_TEMPLATE, and switch targets on",
    metrics="alert_refresh.alertmanager.metrics:AlertmanagerMetrics",
    blueprint="alert_refresh.web.alertmanager.routes:build",
    check="alert_refresh.alertmanager.dry:check",
    difference="alert_refresh.alertmanager.dry:difference",
    fields="alert_refresh.alertmanager.delivered:compared",
    remarks="alert_refresh.alertmanager.delivered:remarks",
)  # fmt: skip
