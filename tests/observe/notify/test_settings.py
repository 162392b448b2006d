"""The settings of notifications, and that the URL is shown nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alert_refresh.daemon import Daemon, read_config
from alert_refresh.engine import ConfigErrors
from alert_refresh.env import Env
from alert_refresh.observe.notify import describe, read
from tests.observe.notify.hooks import CANARY
from tests.test_architecture import EXPENSIVE, loaded_after

if TYPE_CHECKING:
    from pathlib import Path

URL = f"https://hooks.example.com/services/{CANARY}"


def test_nothing_is_sent_by_default() -> None:
    env = Env({})
    assert read(env) is None
    assert env.faults == []
    assert Daemon(read_config({})).notifier is None
    assert describe(None) == "notifications: off; to switch them on, set ALERT_REFRESH_NOTIFY_URL"


def test_the_url_is_a_credential_and_only_its_host_is_shown() -> None:
    config = read_config({"ALERT_REFRESH_NOTIFY_URL": URL, "ALERT_REFRESH_NOTIFY_FORMAT": "slack"})
    assert config.notify is not None
    assert config.notify.current().reveal() == URL
    assert describe(config.notify) == "notifications: to hooks.example.com in the format slack"
    daemon = Daemon(config)
    assert daemon.notifier is not None
    shown = repr((config, config.effective, vars(daemon), vars(daemon.notifier), vars(daemon.notifier.delivery)))
    assert CANARY not in shown
    assert config.effective["ALERT_REFRESH_NOTIFY_URL"] == "***"


def test_a_daemon_with_notifications_loads_no_client_library() -> None:
    loaded = loaded_after(
        f"""
from alert_refresh.daemon import Daemon, read_config
daemon = Daemon(read_config({{"ALERT_REFRESH_NOTIFY_URL": {URL!r}}}))
daemon.start()
daemon.stop()
import threading
assert threading.active_count() == 1, threading.enumerate()
"""
    )
    assert "http" in loaded
    assert not loaded & EXPENSIVE


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "is set but empty"),
        (f"ftp://host/{CANARY}", "the scheme is neither http nor https"),
        (f"{CANARY}", "has no scheme"),
        (f"https:///{CANARY}", "has no host"),
        (f"https://host:99999/{CANARY}", "the port is not from 1 to 65535"),
        (f"https://169.254.169.254/{CANARY}", "a link-local or cloud metadata address"),
        (
            f"https://host/${{{CANARY}}}",
            "has a placeholder that was not filled in, such as ${NAME}, $(NAME), <name>",
        ),
        (f"https://host/{CANARY} x", "has a blank or a line end, which no HTTP header can carry"),
        (f"https://user:{CANARY}@host:99999/", "the port is not from 1 to 65535"),
    ],
)
def test_a_url_that_cannot_be_used_stops_the_start_and_is_not_shown(url: str, reason: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        read_config({"ALERT_REFRESH_NOTIFY_URL": url})
    (fault,) = caught.value.faults
    assert fault.field == "ALERT_REFRESH_NOTIFY_URL"
    assert fault.reason.startswith(reason)
    assert CANARY not in str(caught.value) + fault.value


def test_a_user_name_and_password_may_be_in_the_url() -> None:
    config = read_config({"ALERT_REFRESH_NOTIFY_URL": f"https://me:{CANARY}@am.example.com/"})
    assert config.notify is not None and config.notify.host == "am.example.com"


def test_an_unknown_format_is_a_fault() -> None:
    with pytest.raises(ConfigErrors, match="is none of generic, slack, alertmanager"):
        read_config({"ALERT_REFRESH_NOTIFY_URL": URL, "ALERT_REFRESH_NOTIFY_FORMAT": "teams"})


def test_the_url_may_be_in_a_file_that_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text(URL + "\n")
    config = read_config({"ALERT_REFRESH_NOTIFY_URL_FILE": str(file)})
    assert config.notify is not None
    assert config.notify.current().reveal() == URL
    file.write_text(URL + "-new\n")
    assert config.notify.current().reveal() == URL + "-new"
    for useless in ("", "ftp://x/", "two\nlines"):
        file.write_text(useless)
        assert config.notify.current().reveal() == URL, "the one of the start"
    file.unlink()
    assert config.notify.current().reveal() == URL


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b" \n", "the file is empty"),
        (f"ftp://host/{CANARY}".encode(), "the URL in the file cannot be used: the scheme is"),
        (f"https://host/{CANARY}\nhttps://host/".encode(), "the URL in the file cannot be used: has a blank"),
        (f"https://host/{CANARY}é".encode(), "the URL in the file cannot be used: it is not ASCII"),
        (b"x" * 70_000, "the file is larger than 65536 bytes"),
        (None, "the file cannot be read (FileNotFoundError)"),
    ],
)
def test_a_file_that_cannot_be_used_stops_the_start(tmp_path: Path, content: bytes | None, reason: str) -> None:
    file = tmp_path / "url"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigErrors) as caught:
        read_config({"ALERT_REFRESH_NOTIFY_URL_FILE": str(file)})
    (fault,) = caught.value.faults
    assert fault.field == "ALERT_REFRESH_NOTIFY_URL_FILE"
    assert fault.reason.startswith(reason)
    assert CANARY not in str(caught.value)


def test_both_a_url_and_a_file_are_a_fault(tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text(URL)
    with pytest.raises(ConfigErrors, match="ALERT_REFRESH_NOTIFY_URL is set too"):
        read_config({"ALERT_REFRESH_NOTIFY_URL": URL, "ALERT_REFRESH_NOTIFY_URL_FILE": str(file)})
