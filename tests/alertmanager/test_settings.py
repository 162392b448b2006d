"""The kind's own settings, and when it is on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from alert_refresh.alertmanager import FILE, INTERVAL, TEMPLATE, URL, Settings, build, build_check, read
from alert_refresh.alertmanager.dry import DryRun
from alert_refresh.alertmanager.inputs import Mode
from alert_refresh.alertmanager.source import AlertmanagerSource
from alert_refresh.env import Env
from tests.alertmanager.world import Serving
from tests.fakes import FakeClock

ON = {FILE: "/etc/alertmanager.yml", TEMPLATE: "/etc/template.yml"}


def settings(**environ: str) -> Settings:
    env = Env(environ)
    found = read(env)
    assert env.faults == [], env.faults
    return found


def workers(*names: str) -> Any:
    return {name: Serving() for name in names}


def test_the_defaults() -> None:
    found = settings(**ON)
    assert (found.file, found.template) == (Path("/etc/alertmanager.yml"), Path("/etc/template.yml"))
    assert (found.refresh.interval, found.refresh.rate_limit, found.refresh.timeout) == (300, 1, 30)
    assert (found.urls, found.min_reload_interval) == ((), 1.0)


@pytest.mark.parametrize(
    ("environ", "routes"),
    [
        ({}, Mode.FILTERS),
        ({"RULES_FILE": "/etc/rules.yaml"}, Mode.RULES),
        ({"RULES_FILE": "/etc/rules.yaml", "ALERTMANAGER_ROUTES": "filters"}, Mode.FILTERS),
        ({"ALERTMANAGER_ROUTES": "none"}, Mode.NONE),
    ],
)
def test_s1_where_routes_come_from(environ: dict[str, str], routes: Mode) -> None:
    assert settings(**ON, **environ).routes is routes


def test_several_urls() -> None:
    assert settings(**ON, **{URL: "http://a:9093, https://b/am/"}).urls == ("http://a:9093", "https://b/am/")


@pytest.mark.parametrize(
    "url",
    ["http://a..b:9093", f"http://{'a' * 64}:9093", "http://a:9093/\u00e4", "http://a:9093/b c"],
)
def test_a_url_that_can_never_be_asked_is_a_fault_since_its_error_would_stop_the_others(url: str) -> None:
    env = Env(ON | {URL: f"http://localhost:9093,{url}"})
    read(env)
    assert [(one.field, one.reason) for one in env.faults] == [(URL, "has a URL that cannot be read")]


@pytest.mark.parametrize(
    "url", ["http://[::1]:9093", "http://[fe80::1%25eth0]:9093", "https://b\u00fccher.example/am%20x/"]
)
def test_unusual_urls_that_can_be_asked(url: str) -> None:
    assert settings(**ON, **{URL: url}).urls == (url,)


@pytest.mark.parametrize(
    ("urls", "shown"),
    [
        ("http://a:9093, https://b/", "http://a:9093,https://b"),
        ("https://b/T0/am,http://[::1]:9093", "https://b/***,http://[::1]:9093"),
        ("http://T0@a:9093,http://b/T0", "***"),
        ("", ""),
    ],
)
def test_the_settings_in_force_show_no_path_of_a_url(urls: str, shown: str) -> None:
    env = Env(ON | {URL: urls})
    read(env)
    assert env.effective[URL] == shown


@pytest.mark.parametrize(
    "urls", ["http://a/T0,http://a/T0/", "http://a:9093/,http://A:9093", "http://a,http://b,http://a"]
)
def test_one_alertmanager_twice_is_a_fault_however_its_url_is_written(urls: str) -> None:
    env = Env(ON | {URL: urls})
    read(env)
    assert [(one.field, one.value, one.reason) for one in env.faults] == [(URL, "***", "names one Alertmanager twice")]


def test_several_alertmanagers_may_stand_behind_one_host() -> None:
    assert len(settings(**ON, **{URL: "http://a/one,http://a/two,https://a/one,http://a:9093/one"}).urls) == 4


def test_a_template_where_the_previous_file_is_kept_would_be_overwritten_and_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "link.yml").symlink_to("real.yml")
    env = Env({FILE: str(tmp_path / "link.yml"), TEMPLATE: str(tmp_path / "real.yml.previous")})
    read(env)
    said = "names the file with .previous beside ALERTMANAGER_CONFIG_FILE, which is written"
    assert [(one.field, one.reason) for one in env.faults] == [(TEMPLATE, said)]
    beside = Env({FILE: str(tmp_path / "link.yml"), TEMPLATE: str(tmp_path / "template.yml")})
    read(beside)
    assert beside.faults == []


@pytest.mark.parametrize(
    ("interval", "timeout", "fault"),
    [("15s", "30s", False), ("16s", "30s", True), ("1m", "2m", False), ("16s", "0s", None), ("x", "1s", None)],
)
def test_the_wait_for_a_reload_leaves_half_of_an_attempt(interval: str, timeout: str, fault: bool | None) -> None:
    env = Env(ON | {INTERVAL: interval, "ALERTMANAGER_REFRESH_TIMEOUT": timeout})
    read(env)
    said = "must not be more than half of ALERTMANAGER_REFRESH_TIMEOUT, which is 30s"
    assert [one.reason for one in env.faults if one.field == INTERVAL] == ([said] if fault else []) or fault is None
    assert fault is not None or said not in str(env.faults)
    off = Env({INTERVAL: interval, "ALERTMANAGER_REFRESH_TIMEOUT": timeout})
    read(off)
    assert fault is None or off.faults == []


def test_it_is_off_without_a_file_or_without_targets() -> None:
    assert build(settings(), FakeClock(), workers("targets")) is None
    assert build(settings(**ON), FakeClock(), workers("rules")) is None
    assert build_check(settings(), FakeClock(), workers("targets")) is None
    assert build_check(settings(**ON), FakeClock(), workers("rules")) is None


@pytest.mark.parametrize(("rules", "heard"), [("/etc/rules.yaml", 1), ("", 0)])
def test_it_builds_upon_the_kinds_that_it_delivers(rules: str, heard: int) -> None:
    before = workers("targets", "rules", "views")
    source = build(settings(**ON, RULES_FILE=rules), FakeClock(), before)
    assert type(source) is AlertmanagerSource
    assert [len(before[name].listeners) for name in ("targets", "rules", "views")] == [1, heard, 0]
    assert isinstance(build_check(settings(**ON), FakeClock(), before), DryRun)
