"""What is counted, as Prometheus gets it, and what `check` says."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from alert_refresh.cli.main import main
from tests.observe.notify.hooks import CANARY, Hook, failure
from tests.stage import eventually
from tests.web.world import World

NAME = "alert_refresh_notifications_total"


def counts(world: World) -> dict[str, float]:
    return {name: value for name, value in world.metrics().items() if name.startswith("alert_refresh_notifications")}


def test_each_outcome_is_counted_from_0_on() -> None:
    with Hook(200, 404) as hook, World(environ={"ALERT_REFRESH_NOTIFY_URL": hook.url}).start() as world:
        assert counts(world) == {f'{NAME}{{status="{status}"}}': 0 for status in ("sent", "failed", "dropped")}
        notifier = world.daemon.notifier
        assert notifier is not None
        notifier(failure(3))
        eventually(lambda: notifier.delivery.sent == 1)
        notifier(failure(3, kind="rules"))
        eventually(lambda: notifier.delivery.failed == 1)
        notifier.stop()
        notifier(failure(3))
        assert counts(world) == {f'{NAME}{{status="{status}"}}': 1 for status in ("sent", "failed", "dropped")}
        assert f"# TYPE {NAME} counter" in world.client.get("/metrics").text


def test_without_a_url_there_is_no_series() -> None:
    with World().start() as world:
        assert counts(world) == {}


@pytest.mark.parametrize("form", ["generic", "alertmanager"])
def test_check_says_where_notifications_go_and_sends_none(form: str) -> None:
    with Hook() as hook:
        environ = {"ALERT_REFRESH_NOTIFY_URL": hook.url, "ALERT_REFRESH_NOTIFY_FORMAT": form}
        text = CliRunner(env=environ).invoke(main, ["check"])
        told = CliRunner(env=environ).invoke(main, ["check", "--json"])
        assert hook.posts == []
    assert (text.exit_code, told.exit_code) == (0, 0)
    assert f"notifications: to 127.0.0.1 in the format {form}" in text.output.splitlines()
    assert json.loads(told.output)["notifications"] == {"host": "127.0.0.1", "format": form}
    assert CANARY not in text.output + told.output


def test_check_says_that_there_are_no_notifications() -> None:
    assert (
        "notifications: off; to switch them on, set ALERT_REFRESH_NOTIFY_URL"
        in CliRunner().invoke(main, ["check"]).output
    )
    assert json.loads(CliRunner().invoke(main, ["check", "--json"]).output)["notifications"] is None
