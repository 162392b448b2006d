"""Settings: what is read, what is refused, and that all faults are reported together."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.config import shares
from alert_refresh.credential import MASK, Credential
from alert_refresh.daemon import read_config, read_settings
from alert_refresh.engine import ConfigErrors, Cron, Earliest, RefreshSettings
from alert_refresh.env import Env

if TYPE_CHECKING:
    from collections.abc import Mapping

    from alert_refresh.config import Config

UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def faults(environ: Mapping[str, str]) -> dict[str, str]:
    """Name to reason of everything wrong with these variables."""
    with pytest.raises(ConfigErrors) as raised:
        read_config(environ)
    return {fault.field: fault.reason for fault in raised.value.faults}


def test_without_any_variable_the_settings_are_the_defaults() -> None:
    config = read_config({})
    assert config.bind == "127.0.0.1:8080"
    assert (config.threads, config.shutdown_timeout, config.debug_sample) == (32, 25.0, 0.1)
    assert (config.log_level, config.log_format) == ("INFO", "json")
    assert (config.admin_token, config.read_token) == (None, None)
    assert config.kinds["targets"].refresh == RefreshSettings(300, 5, 30, 300, 60, 30, 30)
    assert config.kinds["targets"].source == "off"


def test_an_empty_variable_is_its_default() -> None:
    assert read_config({"ALERT_REFRESH_THREADS": " ", "TARGET_REFRESH_INTERVAL": ""}).threads == 32


def test_all_faults_are_reported_together_with_name_value_and_reason() -> None:
    with pytest.raises(ConfigErrors) as raised:
        read_config(
            {
                "TARGET_REFRESH_INTERVAL": "0s",
                "TARGET_REFRESH_MAX_RETRIES": "-1",
                "ALERT_REFRESH_LOG_LEVEL": "LOUD",
                "ALERT_REFRESH_THREADS": "two",
                "VIEWS_REFRESH_INTERVALL": "5m",
            }
        )
    assert [str(fault) for fault in raised.value.faults] == [
        "TARGET_REFRESH_INTERVAL='0s': must be greater than 0",
        "TARGET_REFRESH_MAX_RETRIES='-1': must be between 0 and 1000",
        "ALERT_REFRESH_THREADS='two': is not a whole number between 4 and 1000, in the digits 0 to 9",
        "ALERT_REFRESH_LOG_LEVEL='LOUD': is none of DEBUG, INFO, WARNING, ERROR",
        "VIEWS_REFRESH_INTERVALL='***': is not a setting of this program; did you mean VIEWS_REFRESH_INTERVAL?",
    ]


# Durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("5m", 300), ("30s", 30), ("1m30s", 90), ("100ms", 0.1), ("1h", 3600), ("1.5h", 5400), ("1us", 1e-6)],
)
def test_a_duration_is_written_as_in_go(text: str, seconds: float) -> None:
    env = Env({"X": text})
    assert env.duration("X", "1s") == pytest.approx(seconds)
    assert not env.faults


@pytest.mark.parametrize(
    "text",
    ["0", "0s", "-1s", "-1", "5", "1e99", "1d", "5 m", "m", "s5", "1m-30s", "+1s", "٣s", "nan", "inf", "1.s", ".5s",
     "9" * 400 + "h", "1s\n2s", "5M"],
)  # fmt: skip
def test_p19_anything_but_a_duration_greater_than_zero_is_a_fault(text: str) -> None:
    env = Env({"X": text})
    assert env.duration("X", "1s") >= 0
    assert [fault.field for fault in env.faults] == ["X"]


@pytest.mark.parametrize("text", ["0", "0s", "0m0s", "0ms"])
def test_zero_is_a_duration_where_it_means_none(text: str) -> None:
    env = Env({"X": text})
    assert env.duration("X", "1s", zero=True) == 0
    assert not env.faults


@given(st.lists(st.tuples(st.integers(0, 10_000), st.sampled_from(sorted(UNITS))), min_size=1, max_size=4))
def test_a_duration_is_the_sum_of_its_parts(parts: list[tuple[int, str]]) -> None:
    env = Env({"X": "".join(f"{number}{unit}" for number, unit in parts)})
    expected = sum(number * UNITS[unit] for number, unit in parts)
    found = env.duration("X", "1s", zero=True)
    assert not env.faults
    assert found == pytest.approx(expected, abs=1e-5)


@given(st.text())
def test_any_text_is_a_duration_or_a_fault(text: str) -> None:
    env = Env({"X": text})
    assert env.duration("X", "1s") > 0 or env.faults


@given(st.text(), st.sampled_from(["integer", "fraction", "boolean", "choice", "refresh", "token"]))
def test_any_text_is_a_setting_or_a_fault(text: str, how: str) -> None:
    env = Env({"X": text, "XTIMEOUT": text, "XMAX_RETRIES": text, "XJITTER": text})
    reads: dict[str, Any] = {
        "integer": lambda: env.integer("X", 1),
        "fraction": lambda: env.fraction("X", 0.5),
        "boolean": lambda: env.boolean("X", default=True),
        "choice": lambda: env.choice("X", "a", ("a", "b")),
        "refresh": lambda: env.refresh("X"),
        "token": lambda: env.token("X"),
    }
    assert reads[how]() is not None or env.faults


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('"5m"', "is wrapped in quotation marks; write it without them"),
        ("'5m'", "is wrapped in quotation marks; write it without them"),
        ("\ufeff5m", "begins with a byte order mark; save the file without one"),
        (" 5m", "begins or ends with a blank or a line end; write it without"),
        ("5m\t", "begins or ends with a blank or a line end; write it without"),
        ("5m\r\n", "begins or ends with a blank or a line end; write it without"),
    ],
)
@pytest.mark.parametrize("name", ["TARGET_REFRESH_INTERVAL", "RULES_FILE", "K8S_NAMESPACE", "ALERT_REFRESH_LOG_LEVEL"])
def test_what_came_with_a_value_by_mistake_is_named(name: str, text: str, reason: str) -> None:
    with pytest.raises(ConfigErrors) as raised:
        read_config({name: text})
    assert (name, text, reason) in [(one.field, one.value, one.reason) for one in raised.value.faults]


@pytest.mark.parametrize("text", ["293y", "2562048h", "99999999999999999999h", "153722868m", "9223372037s"])
def test_a_duration_of_more_than_292_years_is_a_fault(text: str) -> None:
    assert "TARGET_REFRESH_TIMEOUT" in faults({"TARGET_REFRESH_TIMEOUT": text})


@pytest.mark.parametrize("text", ["1ns", "0.5us", "2562047h"])
def test_the_shortest_and_the_longest_durations_are_right(text: str) -> None:
    assert read_config({"TARGET_REFRESH_RATE_LIMIT": text}).kinds["targets"].refresh.rate_limit > 0


# Other types


@pytest.mark.parametrize(
    ("text", "value"), [("0", 0.0), ("1", 1.0), ("0.1", 0.1), (".5", 0.5), ("1.0", 1.0), ("0.", 0.0)]
)
def test_a_fraction_is_a_number_from_0_to_1(text: str, value: float) -> None:
    env = Env({"X": text})
    assert env.fraction("X", 0.7) == value
    assert not env.faults


@pytest.mark.parametrize("text", ["1.1", "2", "-0.1", "nan", "1e-3", "half", "0,1"])
def test_anything_but_a_fraction_is_a_fault(text: str) -> None:
    env = Env({"X": text})
    assert env.fraction("X", 0.7) == 0.7
    assert env.faults


@pytest.mark.parametrize(("text", "value"), [("TRUE", True), ("yes", True), ("1", True), ("Off", False), ("no", False)])
def test_a_boolean_may_be_written_in_many_ways(text: str, value: bool) -> None:
    assert Env({"X": text}).boolean("X", default=not value) is value


@pytest.mark.parametrize("text", ["maybe", "2", "tru"])
def test_anything_but_a_boolean_is_a_fault(text: str) -> None:
    env = Env({"X": text})
    assert env.boolean("X", default=True) is True
    assert env.faults


@pytest.mark.parametrize("text", ["1", "+5", "007"])
def test_a_whole_number_may_have_a_sign(text: str) -> None:
    assert Env({"X": text}).integer("X", 3) == int(text)


@pytest.mark.parametrize("text", ["1.5", "1e3", "٣", "0x10", "9" * 30, "1_000"])
def test_anything_but_an_integer_is_a_fault(text: str) -> None:
    env = Env({"X": text})
    assert env.integer("X", 3) == 3
    assert env.faults


def test_a_path_is_a_path_or_none() -> None:
    env = Env({"X": "/tmp/x"})
    assert env.path("X") == Path("/tmp/x")
    assert env.path("Y") is None


# A kind's seven settings


def test_a_first_backoff_above_the_greatest_is_one_fault() -> None:
    assert faults({"TARGET_REFRESH_BASE_BACKOFF": "10m"}) == {
        "TARGET_REFRESH_MAX_BACKOFF": "must not be less than TARGET_REFRESH_BASE_BACKOFF, which is 10m"
    }


def test_a_fault_of_a_default_shows_the_default() -> None:
    with pytest.raises(ConfigErrors) as raised:
        read_config({"TARGET_REFRESH_BASE_BACKOFF": "10m"})
    assert [fault.value for fault in raised.value.faults] == ["5m"]


def test_an_empty_admin_token_on_an_open_address_is_one_fault() -> None:
    wrong = faults({"ALERT_REFRESH_BIND": "0.0.0.0:8080", "ALERT_REFRESH_ADMIN_TOKEN": ""})
    assert wrong == {"ALERT_REFRESH_ADMIN_TOKEN": "is set but empty"}


@pytest.mark.parametrize("name", ["INTERVAL", "BASE_BACKOFF", "MAX_BACKOFF", "TIMEOUT"])
def test_p19_some_settings_cannot_be_zero(name: str) -> None:
    assert f"TARGET_REFRESH_{name}" in faults({f"TARGET_REFRESH_{name}": "0s"})


@pytest.mark.parametrize("name", ["RATE_LIMIT", "WARMUP", "MAX_RETRIES"])
def test_some_settings_can_be_zero(name: str) -> None:
    settings = read_config({f"TARGET_REFRESH_{name}": "0"}).kinds["targets"].refresh
    assert getattr(settings, name.lower()) == 0


def test_a_kind_may_have_defaults_of_its_own() -> None:
    settings = Env({}).refresh("RULES_REFRESH_", interval="6h", rate_limit="1s")
    assert (settings.interval, settings.rate_limit, settings.timeout) == (21600, 1, 30)


# Cron expressions and their time zone


@pytest.mark.parametrize("prefix", ["TARGET_REFRESH_", "RULES_REFRESH_", "VIEWS_REFRESH_"])
def test_a_cron_expression_takes_the_place_of_the_interval(prefix: str) -> None:
    environ = {f"{prefix}SCHEDULE": "0 9 * * 1-5", "ALERT_REFRESH_TIMEZONE": "Europe/Berlin", f"{prefix}WARMUP": "1m"}
    config = read_config(environ)
    [kind] = [name for name in config.kinds if name.startswith(prefix[:5].lower())]
    refresh = config.kinds[kind].refresh
    assert refresh.schedule == Earliest((Cron("0 9 * * 1-5", "Europe/Berlin"),))
    assert refresh.interval == 3 * 86400
    assert config.effective[f"{prefix}SCHEDULE"] == "0 9 * * 1-5"
    assert config.effective.keys().isdisjoint({f"{prefix}INTERVAL", f"{prefix}WARMUP"}), "what has no effect"


@pytest.mark.parametrize("prefix", ["TARGET_REFRESH_", "RULES_REFRESH_", "VIEWS_REFRESH_"])
def test_an_interval_and_a_schedule_together_are_a_fault(prefix: str) -> None:
    both = {f"{prefix}SCHEDULE": "@hourly", f"{prefix}INTERVAL": "5m"}
    assert faults(both) == {f"{prefix}SCHEDULE": f"{prefix}INTERVAL is set too; set one of them"}
    assert read_config(both | {f"{prefix}INTERVAL": ""}).effective[f"{prefix}SCHEDULE"] == "@hourly"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0 25 * * *", "hour: '25' is none of *, a number from 0 to 23, a range such as 1-5, a step such as */5"),
        ("*/5 * * * * *", "has 6 fields; seconds and years are not known, only minute, hour, day of month, month and"
         " day of week"),
        ("0 0 30 2 *", "is never due: no month has such a day"),
        ('"@daily"', "is wrapped in quotation marks; write it without them"),
    ],
)  # fmt: skip
def test_a_wrong_cron_expression_is_one_fault_that_says_why(text: str, reason: str) -> None:
    assert faults({"TARGET_REFRESH_SCHEDULE": text}) == {"TARGET_REFRESH_SCHEDULE": reason}


@pytest.mark.parametrize(
    ("zone", "near"),
    [
        ("europe/berlin", "Europe/Berlin"),
        ("Berlin", "Europe/Berlin"),
        ("Europe/Berln", "Europe/Berlin"),
        ("New York", "America/New_York"),
        ("Mars/Base", None),
        ("../../etc/passwd", None),
        ("/etc/passwd", None),
    ],
)
def test_an_unknown_time_zone_is_one_fault_with_the_nearest_right_name(zone: str, near: str | None) -> None:
    with pytest.raises(ConfigErrors) as raised:
        read_config({"ALERT_REFRESH_TIMEZONE": zone, "RULES_REFRESH_SCHEDULE": "@daily"})
    reason = "is not a time zone" + (f"; did you mean {near}?" if near else "")
    assert [(one.field, one.value, one.reason) for one in raised.value.faults] == [
        ("ALERT_REFRESH_TIMEZONE", zone, reason)
    ]


def test_a_folder_of_time_zones_is_none() -> None:
    assert "ALERT_REFRESH_TIMEZONE" in faults({"ALERT_REFRESH_TIMEZONE": "Europe"})


# Unknown names


@pytest.mark.parametrize("prefix", ["ALERT_REFRESH_", "TARGET_REFRESH_", "RULES_REFRESH_", "VIEWS_REFRESH_"])
def test_p19_an_unknown_name_is_a_fault_and_its_value_is_not_shown(prefix: str) -> None:
    with pytest.raises(ConfigErrors) as raised:
        read_config({prefix + "TOKN": "canary"})
    assert "canary" not in str(raised.value)
    assert prefix + "TOKN" in str(raised.value)


@pytest.mark.parametrize(
    "name", ["SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_HTTP", "PORT", "PORT_8080_TCP", "PORT_8080_TCP_ADDR"]
)
@pytest.mark.parametrize("service", ["ALERT_REFRESH", "TARGET_REFRESH", "ALERT_REFRESH_METRICS"])
def test_variables_that_kubernetes_sets_for_a_service_are_not_faults(service: str, name: str) -> None:
    read_config({f"{service}_{name}": "tcp://10.0.0.1:8080"})


@pytest.mark.parametrize(
    "name", ["ALERT_REFRESH_PORTS", "ALERT_REFRESH_PORT_", "ALERT_REFRESH_SERVICE", "TARGET_REFRESH_"]
)
def test_what_looks_almost_like_it_is_a_fault(name: str) -> None:
    assert name in faults({name: "1"})


def test_other_programs_variables_are_none_of_our_business() -> None:
    read_config({"PATH": "/bin", "ALERT_REFRES": "x", "RULES": "x", "alert_refresh_x": "y"})


# Where it listens, and who may ask


@pytest.mark.parametrize(
    ("text", "host", "port", "bind"),
    [
        ("127.0.0.1:0", "127.0.0.1", 0, "127.0.0.1:0"),
        ("[::1]:8080", "::1", 8080, "[::1]:8080"),
        ("::1:8080", "::1", 8080, "[::1]:8080"),
        ("localhost:80", "localhost", 80, "localhost:80"),
        ("unix:/run/a.sock", "/run/a.sock", 0, "unix:/run/a.sock"),
    ],
)
def test_an_address_is_host_and_port_or_a_unix_socket(text: str, host: str, port: int, bind: str) -> None:
    config = read_config({"ALERT_REFRESH_BIND": text})
    assert (config.host, config.port, config.bind) == (host, port, bind)
    assert config.unix == text.startswith("unix:")


@pytest.mark.parametrize(
    "text",
    ["8080", ":8080", "localhost", "127.0.0.1:99999", "127.0.0.1:x", "unix:a", "/a:80",
     "http://127.0.0.1:8080", "256.0.0.1:80", "1.2.3.4.5:80", "[::g]:80", "a b:80", "*:80", "[]:80",
     "unix:/" + "a" * 107],
)  # fmt: skip
def test_anything_but_an_address_is_a_fault(text: str) -> None:
    assert "ALERT_REFRESH_BIND" in faults({"ALERT_REFRESH_BIND": text})


@pytest.mark.parametrize("text", ["0.0.0.0:8080", "[::]:8080", "10.0.0.1:80", "example.com:80"])
def test_other_addresses_than_loopback_need_a_token_or_an_explicit_setting(text: str) -> None:
    assert "ALERT_REFRESH_ADMIN_TOKEN is not set" in faults({"ALERT_REFRESH_BIND": text})["ALERT_REFRESH_BIND"]
    read_config({"ALERT_REFRESH_BIND": text, "ALERT_REFRESH_ADMIN_TOKEN": "x"})
    read_config({"ALERT_REFRESH_BIND": text, "ALERT_REFRESH_ALLOW_UNAUTHENTICATED": "true"})


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.0.0.2", "127.255.255.254", "127.1", "[::1]", "[::ffff:127.0.0.1]", "localhost", "LOCALHOST",
     "Localhost", "localhost."],
)  # fmt: skip
def test_loopback_in_any_notation_needs_no_token(host: str) -> None:
    read_config({"ALERT_REFRESH_BIND": f"{host}:8080"})


def test_every_setting_says_what_it_means() -> None:
    groups = read_settings()
    assert list(groups) == ["Server", "Targets", "Rules", "Views"]
    assert groups["Targets"]["TARGET_REFRESH_INTERVAL"] == ("5m", "Time between periodic refreshes")
    assert groups["Rules"]["RULES_REFRESH_INTERVAL"] == ("6h", "Time between periodic refreshes")
    assert groups["Server"]["ALERT_REFRESH_TIMEZONE"][0] == "UTC" and "RULES_REFRESH_SCHEDULE" in groups["Rules"]
    assert "ALERT_REFRESH_STATE_DIR" in groups["Server"] and "ALERT_REFRESH_STATE_DIR" not in groups["Rules"]


def test_a_token_is_kept_as_a_credential_and_its_file_as_a_path(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("secret\n")
    config = read_config({"ALERT_REFRESH_ADMIN_TOKEN": " secret ", "ALERT_REFRESH_READ_TOKEN_FILE": str(file)})
    assert config.admin_token is not None
    assert config.admin_token.value == Credential("secret")
    assert config.read_token is not None
    assert config.read_token.file == file


@pytest.mark.parametrize("value", ["", "  ", "a b", "a\nb", "é", "a\x7f"])
def test_p19_a_token_no_header_can_carry_is_a_fault_and_not_shown(value: str) -> None:
    with pytest.raises(ConfigErrors) as raised:
        read_config({"ALERT_REFRESH_ADMIN_TOKEN": value})
    assert str(raised.value).startswith(f"ALERT_REFRESH_ADMIN_TOKEN='{MASK}'")


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff"])
def test_p19_a_token_file_that_cannot_be_used_is_a_fault(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    assert "ALERT_REFRESH_ADMIN_TOKEN_FILE" in faults({"ALERT_REFRESH_ADMIN_TOKEN_FILE": str(file)})


@pytest.mark.parametrize("kind", ["fifo", "folder", "long"])
def test_h29_a_token_file_that_is_not_a_regular_file_is_a_fault_at_the_start_and_blocks_nothing(
    kind: str, tmp_path: Path
) -> None:
    path = tmp_path / "token"
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"x\n" * 40_000)
    (reason,) = faults({"ALERT_REFRESH_ADMIN_TOKEN_FILE": str(path)}).values()
    assert reason == {
        "fifo": "the token file is not a regular file",
        "folder": "the token file cannot be read: Is a directory",
        "long": "the token file is larger than 65536 bytes",
    }.get(kind)


def test_a_token_and_its_file_together_are_a_fault(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("x")
    found = faults({"ALERT_REFRESH_ADMIN_TOKEN": "x", "ALERT_REFRESH_ADMIN_TOKEN_FILE": str(file)})
    assert found == {"ALERT_REFRESH_ADMIN_TOKEN_FILE": "ALERT_REFRESH_ADMIN_TOKEN is set too; set one of them"}


def test_the_settings_in_force_are_known_with_secrets_masked() -> None:
    config = read_config({"ALERT_REFRESH_ADMIN_TOKEN": "canary", "TARGET_REFRESH_INTERVAL": "1m"})
    assert config.effective["TARGET_REFRESH_INTERVAL"] == "1m"
    assert config.effective["TARGET_REFRESH_TIMEOUT"] == "30s"
    assert config.effective["ALERT_REFRESH_ADMIN_TOKEN"] == MASK
    assert "canary" not in repr(config)


# Which source


@pytest.mark.parametrize(
    ("environ", "source"),
    [
        ({}, "off"),
        ({"TARGET_DIRECTORY": "/x"}, "directory"),
        ({"KUBECONFIG": "/x"}, "kubernetes"),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, "kubernetes"),
        ({"KUBECONFIG": "/x", "TARGET_DIRECTORY": "/x"}, "kubernetes"),
        ({"KUBECONFIG": "/x", "TARGET_DIRECTORY": "/x", "TARGET_SOURCE": "directory"}, "directory"),
        ({"KUBECONFIG": "/x", "TARGET_SOURCE": "off"}, "off"),
    ],
)
def test_the_source_follows_from_what_is_set(environ: dict[str, str], source: str) -> None:
    assert read_config(environ).kinds["targets"].source == source


def test_a_directory_source_needs_a_directory() -> None:
    assert "TARGET_DIRECTORY" in faults({"TARGET_SOURCE": "directory"})


def test_config_is_frozen() -> None:
    config: Config = read_config({})
    with pytest.raises(AttributeError):
        config.port = 1  # type: ignore[misc]  # it is frozen
    with pytest.raises(TypeError):
        config.effective["X"] = "1"  # type: ignore[index]  # it is frozen


@pytest.mark.parametrize(("threads", "streams"), [(4, 1), (5, 2), (8, 4), (16, 8), (32, 16), (250, 125), (1000, 500)])
def test_half_of_the_threads_may_wait_but_never_all(threads: int, streams: int) -> None:
    assert read_config({"ALERT_REFRESH_THREADS": str(threads)}).max_streams == streams
    general, reserved, lists = shares(threads)
    assert general + reserved + lists == threads
    assert streams < general


def test_more_streams_than_threads_that_may_wait_are_a_fault() -> None:
    assert read_config({"ALERT_REFRESH_MAX_STREAMS": "25"}).max_streams == 25
    for value in ("26", "0", "-1", "many"):
        with pytest.raises(ConfigErrors, match=r"ALERT_REFRESH_MAX_STREAMS='.*between 1 and 25"):
            read_config({"ALERT_REFRESH_MAX_STREAMS": value})
