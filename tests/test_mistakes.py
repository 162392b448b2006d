"""What is mistyped in a setting is named, and what is right is left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alert_refresh import mistakes
from alert_refresh.daemon import read_config
from alert_refresh.engine import ConfigErrors
from tests.test_packaging import known

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "canary-3b9d"
PLACEHOLDER = "has a placeholder that was not filled in, such as ${NAME}, $(NAME), <name> or {{ name }}"


def faults(**environ: str) -> dict[str, list[str]]:
    """The reasons by name, after every message was looked at for the canary; empty if all is right."""
    found: dict[str, list[str]] = {}
    shown = ""
    try:
        read_config(environ)
    except ConfigErrors as errors:
        shown = str(errors)
        for fault in errors.faults:
            found.setdefault(fault.field, []).append(fault.reason)
    assert CANARY not in shown
    return found


# Text of any setting


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("${FOLDER}", PLACEHOLDER),
        ("/etc/$(FOLDER)", PLACEHOLDER),
        ("/etc/{{ folder }}", PLACEHOLDER),
        ("<folder>", PLACEHOLDER),
        ("$HOME/targets", "begins with the name of a variable, which nothing replaces; write the value itself"),
        ("/etc/targets # mine", "has a # after a blank; a comment needs a line of its own"),
        ("/etc/targets\u200b", "has the invisible character U+200B"),
        ("/etc/\u202etargets", "has the invisible character U+202E"),
        ("/etc/a\x00b", "has the invisible character U+0000"),
        ("\u201c/etc/targets\u201d", "is wrapped in quotation marks; write it without them"),
        ("`/etc/targets`", "is wrapped in quotation marks; write it without them"),
        ("~/targets", "begins with ~, which nothing replaces; write the whole path"),
        ("file:///etc/targets", "is a URL; write a path"),
        (f"https://user:{CANARY}@example.com/targets", "is a URL; write a path"),
    ],
)
@pytest.mark.parametrize("name", ["TARGET_DIRECTORY", "RULES_FILE", "ALERT_REFRESH_STATE_DIR", "VIEWS_CONFIG_FILE"])
def test_a_path_that_means_something_else_than_it_seems_is_one_fault(name: str, text: str, fault: str) -> None:
    assert faults(**{name: text, "TARGET_SOURCE": "off"}) == {name: [fault]}


@pytest.mark.parametrize("text", ["/etc/a#b", "/etc/a$b", "/etc/a<b", "/etc/it's", "/etc/a b", "a/b", "/etc/a~"])
def test_odd_paths_that_are_right_are_left_alone(text: str) -> None:
    assert faults(RULES_FILE=text) == {}


def test_what_is_in_quotation_marks_is_one_fault_if_it_is_right_without_them() -> None:
    assert faults(K8S_NAMESPACE='"*"') == {"K8S_NAMESPACE": ["is wrapped in quotation marks; write it without them"]}
    assert faults(TARGET_REFRESH_INTERVAL="\ufeff5m") == {
        "TARGET_REFRESH_INTERVAL": ["begins with a byte order mark; save the file without one"]
    }
    assert len(faults(TARGET_REFRESH_INTERVAL="'5 m'")["TARGET_REFRESH_INTERVAL"]) == 2


def test_a_directory_that_is_wrong_is_not_said_to_be_unset_too() -> None:
    assert list(faults(TARGET_DIRECTORY="${X}", TARGET_SOURCE="directory")) == ["TARGET_DIRECTORY"]
    assert faults(TARGET_SOURCE="directory")["TARGET_DIRECTORY"] == ["is not set and TARGET_SOURCE is directory"]


@pytest.mark.parametrize(
    ("text", "near"), [("info", "INFO"), ("WARN", "WARNING"), ("Debug", "DEBUG"), ("EROR", "ERROR"), ("x", None)]
)
def test_the_word_that_was_meant_is_named(text: str, near: str | None) -> None:
    (reason,) = faults(ALERT_REFRESH_LOG_LEVEL=text)["ALERT_REFRESH_LOG_LEVEL"]
    assert reason.endswith(f"; did you mean {near}?" if near else "DEBUG, INFO, WARNING, ERROR")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("5", "it has no unit"),
        ("1.5", "it has no unit"),
        ("-5m", "it has a sign"),
        ("+5m", "it has a sign"),
        ("5 m", "it has a blank"),
        ("1m 30s", "it has a blank"),
        ("30d", "the units are h, m, s, ms, us and ns, in lower case"),
        ("5M", "the units are h, m, s, ms, us and ns, in lower case"),
        ("5min", "the units are h, m, s, ms, us and ns, in lower case"),
        ("\u0665m", "it has a character that is not ASCII"),
    ],
)
def test_the_mistake_in_a_duration_is_named(text: str, why: str) -> None:
    (reason,) = faults(TARGET_REFRESH_INTERVAL=text)["TARGET_REFRESH_INTERVAL"]
    assert reason == f"is not a duration such as 30s, 5m or 1m30s; {why}"


def test_a_duration_of_less_than_a_nanosecond_is_zero_as_in_go() -> None:
    assert faults(TARGET_REFRESH_INTERVAL="0.5ns") == {"TARGET_REFRESH_INTERVAL": ["must be greater than 0"]}
    assert faults(TARGET_REFRESH_RATE_LIMIT="0.5ns") == {}


def test_a_very_long_value_is_shown_in_part() -> None:
    with pytest.raises(ConfigErrors) as raised:
        read_config({"K8S_NAMESPACE": "x" * 100_000})
    assert len(str(raised.value)) < 1000


# Tokens


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        (f'"{CANARY}"', "is wrapped in quotation marks; write it without them"),
        (f"'{CANARY}'", "is wrapped in quotation marks; write it without them"),
        (f"\ufeff{CANARY}", "begins with a byte order mark; save the file without one"),
        (f"Bearer {CANARY}", "begins with 'Bearer'; write the token alone"),
        (f"{CANARY} {CANARY}", "has a blank or a line end, which no HTTP header can carry"),
        (f"{CANARY}\u00e4", "has a character that no HTTP header can carry; a token is printable ASCII"),
        (f"TOKEN={CANARY}", "begins with a name and an equals sign; write the token alone"),
        ("${TOKEN}", PLACEHOLDER),
        ("$(TOKEN)", PLACEHOLDER),
        ("<token>", PLACEHOLDER),
        ("$TOKEN", "begins with the name of a variable, which nothing replaces; write the value itself"),
        ("$admin_token2", "begins with the name of a variable, which nothing replaces; write the value itself"),
    ],
)
def test_a_token_that_no_client_would_send_is_a_fault_wherever_it_is_from(
    value: str, fault: str, tmp_path: Path
) -> None:
    assert faults(ALERT_REFRESH_ADMIN_TOKEN=value) == {"ALERT_REFRESH_ADMIN_TOKEN": [fault]}
    file = tmp_path / "token"
    file.write_text(f"good\n{value}\n", encoding="utf-8")
    said = [f"token 2 of the token file {fault}"]
    assert faults(ALERT_REFRESH_ADMIN_TOKEN_FILE=str(file)) == {"ALERT_REFRESH_ADMIN_TOKEN_FILE": said}


@pytest.mark.parametrize(
    "value",
    ["a", "dG9rZW4=", "YQ==", "/9j/4AAQ", "it's", "a=b=", "x" * 8192, "/" + "x" * 8192, "$a-b", "$argon2id$v=19$x"],
)
def test_tokens_that_are_right_are_left_alone(value: str) -> None:
    assert faults(ALERT_REFRESH_ADMIN_TOKEN=value) == {}


def test_the_path_of_a_file_is_no_token() -> None:
    fault = "is the path of a file; set ALERT_REFRESH_ADMIN_TOKEN_FILE to it"
    assert faults(ALERT_REFRESH_ADMIN_TOKEN=__file__) == {"ALERT_REFRESH_ADMIN_TOKEN": [fault]}


# Lists


@pytest.mark.parametrize("name", ["K8S_NAMESPACE", "ALERT_REFRESH_TRUSTED_PROXIES"])
def test_a_list_of_nothing_but_commas_is_a_fault_and_an_empty_element_a_warning(name: str) -> None:
    assert faults(**{name: ","}) == {name: ["has nothing between its commas"]}
    good = "10.0.0.0/8" if "PROXIES" in name else "a"
    for text in (f"{good},", f",{good}", f"{good},,{good}"):
        assert read_config({name: text}).warnings == (f"{name} has an empty element, which is left out",)
    assert read_config({name: f"{good}, {good}"}).warnings == ()


def test_an_empty_element_among_views_is_a_warning() -> None:
    assert read_config({"VIEWS": "mv_a,"}).warnings == ("VIEWS has an empty element, which is left out",)
    assert faults(VIEWS=",") == {"VIEWS": ["names no view"]}


def test_each_wrong_element_is_named() -> None:
    found = faults(K8S_NAMESPACE="a,B,c d")["K8S_NAMESPACE"]
    assert [reason.partition(",")[0] for reason in found] == ["has 'B'", "has 'c d'"]
    found = faults(ALERT_REFRESH_TRUSTED_PROXIES="10.0.0.0/8,10.0.0.0/33,x")["ALERT_REFRESH_TRUSTED_PROXIES"]
    assert [reason.rpartition(": ")[2] for reason in found] == ["'10.0.0.0/33' is none", "'x' is none"]


@pytest.mark.parametrize(
    ("text", "means"),
    [("10.1.2.3/8", "10.0.0.0/8"), ("fd00::1/8", "fd00::/8"), ("192.168.1.5/255.255.255.0", "192.168.1.0/24")],
)
def test_a_network_with_host_bits_is_a_warning_that_says_what_it_stands_for(text: str, means: str) -> None:
    (warning,) = read_config({"ALERT_REFRESH_TRUSTED_PROXIES": text}).warnings
    address = text.partition("/")[0]
    assert warning.endswith(f"'{text}' is all of {means}; write {address} for this address alone")
    assert read_config({"ALERT_REFRESH_TRUSTED_PROXIES": f"{means},{address}"}).warnings == ()


# Names


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("TARGET_REFRESH_INTERVALL", "TARGET_REFRESH_INTERVAL"),
        ("TARGET_REFRESH_TIMOUT", "TARGET_REFRESH_TIMEOUT"),
        ("TARGET_REFRESH_RETRIES", "TARGET_REFRESH_MAX_RETRIES"),
        ("TARGET_REFRESH_INTERVAL ", "TARGET_REFRESH_INTERVAL"),
        ("ALERT_REFRESH_THREAD", "ALERT_REFRESH_THREADS"),
        ("ALERT_REFRESH_LOGLEVEL", "ALERT_REFRESH_LOG_LEVEL"),
        ("ALERT_REFRESH_HOST", "ALERT_REFRESH_BIND"),
        ("ALERT_REFRESH_TOKEN", "ALERT_REFRESH_ADMIN_TOKEN"),
        ("RULES_REFRESH_FILE", "RULES_FILE"),
        ("RULES_REFRESH_CACHE_CAPACITY", "RULES_CACHE_CAPACITY"),
    ],
)
def test_an_unknown_name_under_a_prefix_is_a_fault_with_the_nearest_one(name: str, near: str) -> None:
    assert faults(**{name: CANARY}) == {name: [f"is not a setting of this program; did you mean {near}?"]}


@pytest.mark.parametrize("name", ["TARGET_REFRESH_COLOUR", "ALERT_REFRESH_X", "ALERTMANAGER_REFRESH_INTERVAL"])
def test_with_none_near_it_says_where_the_names_are(name: str) -> None:
    assert faults(**{name: CANARY}) == {name: ["is not a setting of this program; see alert-refresh serve --help"]}


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("TARGET_DIRECTORYY", "TARGET_DIRECTORY"),
        ("TARGET_URL_DENY_PRIVAT", "TARGET_URL_DENY_PRIVATE"),
        ("VIEWS_DATABSE_URL", "VIEWS_DATABASE_URL"),
        ("K8S_NAMESPACES", "K8S_NAMESPACE"),
        ("RULE_FILE", "RULES_FILE"),
        ("TARGETS_REFRESH_INTERVAL", "TARGET_REFRESH_INTERVAL"),
        ("TARGET_INTERVAL", "TARGET_REFRESH_INTERVAL"),
        ("target_refresh_interval", "TARGET_REFRESH_INTERVAL"),
        ("rules_file", "RULES_FILE"),
        ("alert-refresh-threads", "ALERT_REFRESH_THREADS"),
        ("ALERT_REFRESH_PORT", "ALERT_REFRESH_BIND"),
        ("TARGET_DIR", "TARGET_DIRECTORY"),
        ("TARGETS_DIR", "TARGET_DIRECTORY"),
        ("TARGET_FOLDER", "TARGET_DIRECTORY"),
        ("TARGET_PATH", "TARGET_DIRECTORY"),
        ("TARGET_DENY_PRIVATE_URL", "TARGET_URL_DENY_PRIVATE"),
        ("URL_DENY_PRIVATE", "TARGET_URL_DENY_PRIVATE"),
        ("TARGET_SELECTOR", "TARGET_LABEL_SELECTOR"),
        ("RULES_PATH", "RULES_FILE"),
        ("RULES_DIR", "RULES_FILE"),
        ("VIEWS_URL", "VIEWS_DATABASE_URL"),
        ("VIEWS_DB_URL", "VIEWS_DATABASE_URL"),
        ("NOTIFY_URL", "ALERT_REFRESH_NOTIFY_URL"),
        ("STATE_DIR", "ALERT_REFRESH_STATE_DIR"),
        ("state-dir", "ALERT_REFRESH_STATE_DIR"),
    ],
)
def test_a_name_that_is_not_read_but_almost_is_a_setting_is_a_warning(name: str, near: str) -> None:
    said = f"{name} is not a setting of this program; did you mean {near}?"
    assert read_config({name: "9090"}).warnings == (said,)


@pytest.mark.parametrize(
    "name",
    ["PATH", "HOME", "REDIS_HOST", "REDIS_PORT", "TARGET_NAME", "DATABASE_URL", "RULES", "TARGETS",
     "KUBERNETES_PORT", "TARGET_DIRECTORY_SERVICE_HOST", "ALERT_REFRESH_PORT_8080_TCP_PORT", "PWD", "OLDPWD",
     "HOSTNAME", "KUBERNETES_SERVICE_PORT", "KUBERNETES_SERVICE_PORT_HTTPS", "KUBERNETES_PORT_443_TCP_ADDR",
     "PYTHONPATH", "LANG", "LC_ALL", "POSTGRES_URL", "POSTGRES_DB_URL", "DB_URL", "STATE_DIRECTORY",
     "CACHE_DIRECTORY", "NOTIFY_SOCKET", "LOG_LEVEL", "SOURCE_DIR", "RULES_PATH_SERVICE_HOST",
     "STATE_DIR_SERVICE_HOST", "VIEWS_URL_PORT", "TMPDIR", "URL", "DIR", "DIRECTORY", "TARGET", "TARGET_URL"],
)  # fmt: skip
def test_names_of_other_programs_are_no_warning(name: str) -> None:
    assert read_config({name: "8080"}).warnings == ()
    assert read_config({"ALERT_REFRESH_PORT": "tcp://10.0.0.1:8080"}).warnings == ()


@pytest.mark.parametrize("environ", [{"KUBECONFIG": "/x"}, {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}])
def test_a_directory_that_auto_does_not_read_is_a_warning(environ: dict[str, str]) -> None:
    (warning,) = read_config({"TARGET_DIRECTORY": "/x", **environ}).warnings
    assert warning.startswith("TARGET_DIRECTORY is not read, since ")
    assert warning.endswith("to read it set TARGET_SOURCE=directory")
    assert read_config({"TARGET_DIRECTORY": "/x", "TARGET_SOURCE": "kubernetes"} | environ).warnings == ()
    assert read_config({"TARGET_DIRECTORY": "/x"}).warnings == ()


# Credentials


WITH_CREDENTIAL = (
    f"https://user:{CANARY}@example.com/hook",
    f"postgresql://user:{CANARY}@host/database",
    f"redis://:{CANARY}@host:x/0",
    f"user:{CANARY}@example.com:8080",
    f"unix:user:{CANARY}@x",
    f"https://example.com/{CANARY}",
    f"a,https://user:{CANARY}@example.com,b",
)


UNUSED = ("ALERT_REFRESH_CLIENT_TOKEN_FILE",)
"""Settings of the commands, which the daemon knows and does not read."""


@pytest.mark.parametrize("name", sorted(known()))
def test_a_credential_in_the_wrong_setting_is_in_no_message(name: str) -> None:
    for text in WITH_CREDENTIAL:
        found = faults(**{name: text})
        if "://" in text and not name.endswith(("_URL", "_TOKEN")) and name not in UNUSED:
            assert name in found, (name, text)
        faults(**{name: f"'{text}'", "ALERT_REFRESH_BIND": text, "VIEWS": text, "K8S_NAMESPACE": text})


def test_a_part_of_a_value_is_shown_unless_it_may_be_a_credential() -> None:
    assert mistakes.part("a b\n") == r"'a b\n'"
    for text in (f"https://{CANARY}", f"user:{CANARY}@x", "x" * 65):
        assert mistakes.part(text) == "a part that is not shown"
    assert mistakes.part("@daily") == "'@daily'"
