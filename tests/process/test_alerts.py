"""Each alert fires on a real fault of the program in a real Prometheus and resolves; a healthy program has none."""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack
from itertools import count
from typing import TYPE_CHECKING

import pytest

from tests import day
from tests.kube import KubeServer, faults, fill, kubeconfig
from tests.kube import secret as kubernetes_secret
from tests.observe.notify.hooks import Hook
from tests.ports import lasting_port
from tests.postgres import Server, hierarchy
from tests.process.program import ROOT, Program, eventually
from tests.prometheus import EVERY, PATIENCE, shared
from tests.targets.folder.folders import secret, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.kube import Exchange

pytestmark = pytest.mark.usefixtures("unmeasured")

TARGETS_STATUS = "/api/v2/publishing/targets/status"
RULES = "rules:\n- {id: one, match: ['severity=\"critical\"'], targets: [good]}\n"


def quick(prefix: str, **more: str) -> dict[str, str]:
    """Settings of a kind that refreshes often and immediately."""
    values = {
        "INTERVAL": "300ms",
        "WARMUP": "300ms",
        "BASE_BACKOFF": "100ms",
        "MAX_BACKOFF": "100ms",
        "MAX_RETRIES": "0",
        "RATE_LIMIT": "0s",
    }
    return {f"{prefix}_REFRESH_{name}": value for name, value in (values | more).items()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one valid target."""
    path = tmp_path / "targets"
    path.mkdir()
    write(path / "good.yaml", secret("good"))
    return path


@pytest.fixture
def kube() -> Iterator[KubeServer]:
    with KubeServer() as server:
        fill(server.store, 3)
        yield server


def of_folder(folder: Path) -> dict[str, str]:
    return {"TARGET_DIRECTORY": str(folder)} | quick("TARGET")


def of_cluster(kube: KubeServer, tmp_path: Path, **more: str) -> dict[str, str]:
    environ = {"KUBECONFIG": str(kubeconfig(tmp_path / "kubeconfig", kube.url)), "TARGET_WATCH": "false"}
    return environ | quick("TARGET") | more


def folder_goes_away(folder: Path) -> tuple[dict[str, str], Callable[[], object], Callable[[], object]]:
    elsewhere = folder.with_name("elsewhere")
    return of_folder(folder), lambda: folder.rename(elsewhere), lambda: elsewhere.rename(folder)


def rules_file_is_broken(folder: Path) -> tuple[dict[str, str], Callable[[], object], Callable[[], object]]:
    file = folder / "rules.yaml"
    file.write_text(RULES)
    environ = {"RULES_FILE": str(file)} | quick("RULES")
    return environ, lambda: file.write_text("rules: [{}]\n"), lambda: file.write_text(RULES)


@pytest.mark.parametrize(("kind", "fault"), [("targets", folder_goes_away), ("rules", rules_file_is_broken)])
def test_a_kind_that_fails_alerts_until_it_succeeds(
    kind: str, fault: Callable[[Path], tuple[dict[str, str], Callable[[], object], Callable[[], object]]], folder: Path
) -> None:
    environ, break_it, mend_it = fault(folder)
    with Program(env=environ) as program, shared().scraping(program.port) as seen:
        break_it()
        assert "failed in a row" in seen.fires("AlertRefreshFailing", kind=kind)["annotations"]["summary"]
        assert kind in seen.fires("AlertRefreshNoSuccess", kind=kind)["annotations"]["summary"]
        mend_it()
        seen.resolves("AlertRefreshNoSuccess")
        seen.resolves("AlertRefreshFailing")


def test_views_whose_database_is_away_from_the_start_alert_until_it_is_there() -> None:
    server = Server().create()
    environ = {"VIEWS_DATABASE_URL": server.dsn(), "VIEWS": "one", "VIEWS_LOCK_TIMEOUT": "1s"}
    try:
        with Program(env=environ | quick("VIEWS")) as program, shared().scraping(program.port) as seen:
            seen.fires("AlertRefreshFailing", kind="views")
            seen.fires("AlertRefreshNoSuccess", kind="views")
            assert program.get("/health")[0] == 503
            server.start()
            with server.connect() as connection:
                connection.execute("create materialized view one as select 1 as id")
            seen.resolves("AlertRefreshNoSuccess")
            seen.resolves("AlertRefreshFailing")
    finally:
        server.remove()


def test_a_program_that_was_killed_alerts_until_it_is_there_again(folder: Path) -> None:
    port = lasting_port()
    environ = of_folder(folder) | {"ALERT_REFRESH_BIND": f"127.0.0.1:{port}"}
    with Program(env=environ) as program:
        program.wait_for("Serving")
        with shared().scraping(port) as seen:
            program.process.kill()
            assert f"127.0.0.1:{port}" in seen.fires("AlertRefreshDown")["annotations"]["summary"]
            with Program(env=environ):
                seen.resolves("AlertRefreshDown")


def test_every_second_attempt_that_fails_alerts_though_there_are_never_three_in_a_row(
    kube: KubeServer, tmp_path: Path
) -> None:
    numbers = count()
    with Program(env=of_cluster(kube, tmp_path)) as program, shared().scraping(program.port) as seen:
        rule = kube.fault(faults.status(503), when=lambda request: next(numbers) % 2 == 0)
        seen.fires("AlertRefreshFlapping", kind="targets")
        assert rule.fired >= 3
        kube.faults.clear()
        seen.resolves("AlertRefreshFlapping")
        assert "AlertRefreshFailing" not in seen.ever()


def test_a_slow_server_alerts_until_it_is_quick(kube: KubeServer, tmp_path: Path) -> None:
    def slowly(exchange: Exchange) -> bool:
        threading.Event().wait(3.0)
        return exchange.answer()

    with Program(env=of_cluster(kube, tmp_path)) as program, shared().scraping(program.port) as seen:
        rule = kube.fault(slowly)
        seen.fires("AlertRefreshSlow", kind="targets")
        assert rule.fired
        kube.faults.clear()
        seen.resolves("AlertRefreshSlow")


def test_views_that_take_longer_than_their_interval_alert_until_they_do_not() -> None:
    database = hierarchy()
    database.run("create function slow() returns integer language sql as 'select 1 from pg_sleep(3)'")
    database.run("create materialized view one as select slow() as id")
    environ = {"VIEWS_DATABASE_URL": database.dsn(), "VIEWS": "one", "VIEWS_LOCK_TIMEOUT": "2s"}
    environ |= quick("VIEWS", INTERVAL="2s")  # on a busy machine, too, a refresh of a quick view takes less
    try:
        with Program(env=environ) as program, shared().scraping(program.port) as seen:
            seen.fires("AlertRefreshSlow", kind="views")
            database.run("create or replace function slow() returns integer language sql as 'select 1'")
            seen.resolves("AlertRefreshSlow")
    finally:
        database.drop()


def test_a_view_that_fails_beside_one_that_is_refreshed_alerts_until_it_is_refreshed_too() -> None:
    database = hierarchy()
    make = "create or replace function one_id() returns integer language sql as 'select {}'"
    database.run(make.format("1"))
    database.run("create materialized view one as select one_id() as id")
    database.run("create materialized view two as select 2 as id")
    environ = {"VIEWS_DATABASE_URL": database.dsn(), "VIEWS": "one,two", "VIEWS_SKIP_UNCHANGED": "false"}
    try:
        with Program(env=environ | quick("VIEWS")) as program, shared().scraping(program.port) as seen:
            program.wait_for("Views refreshed successfully")
            database.run(make.format("1/0"))
            seen.fires("AlertRefreshViewStale", view="one")
            database.run(make.format("1"))
            seen.resolves("AlertRefreshViewStale")
    finally:
        database.drop()


def test_attempts_that_hang_alert_until_they_end(tmp_path: Path) -> None:
    end = tmp_path / "end"
    environ = quick("TARGET", TIMEOUT="200ms", MAX_RETRIES="5")
    program = Program("tests.process.scripted", json.dumps(["ok", f"until {end}"]), "20", "0.3", env=environ)
    with program, shared().scraping(program.port) as seen:
        assert "of the targets" in seen.fires("AlertRefreshStuck", kind="targets")["annotations"]["summary"]
        seen.fires("AlertRefreshUnhealthy")
        assert program.get("/healthz")[0] == 503
        assert seen.query('alert_refresh_in_progress{%s,kind="targets"} == 0'), "no attempt is in progress"
        end.touch()
        seen.resolves("AlertRefreshUnhealthy")
        seen.resolves("AlertRefreshStuck")


def test_a_watch_that_is_not_connected_alerts_until_it_is(kube: KubeServer, tmp_path: Path) -> None:
    environ = of_cluster(kube, tmp_path, TARGET_WATCH="true")
    with Program(env=environ) as program, shared().scraping(program.port) as seen:
        seen.waits_for("alert_history_publishing_refresh_watch_connected{%s} == 1")
        kube.close()
        seen.fires("AlertRefreshWatchDisconnected")
        kube.open()
        seen.resolves("AlertRefreshWatchDisconnected")


def test_a_target_that_is_stale_and_a_secret_that_is_rejected_have_alerts_that_name_them(folder: Path) -> None:
    with Program(env=of_folder(folder)) as program, shared().scraping(program.port) as seen:
        seen.waits_for("alert_refresh_targets_invalid{%s} == 0")
        for name in ("good", "bad"):
            write(folder / f"{name}.yaml", secret(name, data={"config": "e30="}))
        stale = seen.fires("AlertRefreshTargetStale", target="good", secret="good")
        assert "Target good is served in its last valid version" in stale["annotations"]["summary"]
        rejected = seen.fires("AlertRefreshTargetRejected", secret="bad")
        assert "/bad" in rejected["annotations"]["summary"]
        assert not seen.firing("AlertRefreshTargetsOmitted")
        for name in ("good", "bad"):
            write(folder / f"{name}.yaml", secret(name))
        seen.resolves("AlertRefreshTargetStale")
        seen.resolves("AlertRefreshTargetRejected")


def test_more_faulty_secrets_than_have_an_alert_of_their_own_alert_together(folder: Path) -> None:
    bad = [secret(f"bad-{number}", data={"config": "e30="}) for number in range(103)]
    with Program(env=of_folder(folder)) as program, shared().scraping(program.port) as seen:
        write(folder / "bad.yaml", *bad)
        assert seen.fires("AlertRefreshTargetsOmitted")["annotations"]["summary"].endswith(": 3.")
        assert eventually(lambda: len(seen.firing("AlertRefreshTargetRejected")) == 100)
        (folder / "bad.yaml").unlink()
        seen.resolves("AlertRefreshTargetsOmitted")
        seen.resolves("AlertRefreshTargetRejected")


@pytest.fixture
def healthy(kube: KubeServer, folder: Path) -> Iterator[Program]:
    """The program with every kind on and with its default settings, once all of them are refreshed."""
    database = hierarchy()
    file = folder / "rules.yaml"
    file.write_text(RULES.replace("good", "target-00000"))
    environ = {
        "KUBECONFIG": str(kubeconfig(folder / "kubeconfig", kube.url)),
        "RULES_FILE": str(file),
        "VIEWS_DATABASE_URL": database.dsn(),
        "TARGET_REFRESH_RATE_LIMIT": "0s",
        "ALERTMANAGER_CONFIG_TEMPLATE": str(ROOT / "config/examples/alertmanager.yml"),
        "ALERTMANAGER_CONFIG_FILE": str(folder / "alertmanager.yml"),
    }
    try:
        with Program(env=environ) as program:
            for kind in ("Targets", "Rules", "Views", "Alertmanager"):
                program.wait_for(f"{kind} refreshed successfully")
            program.wait_for("The watch is connected")
            yield program
    finally:
        database.drop()


def test_a_healthy_program_is_silent_whether_its_kinds_are_on_off_or_resting(healthy: Program, folder: Path) -> None:
    prometheus = shared(shorten=False)
    resting = {
        "RULES_FILE": str(folder / "rules.yaml"),
        "RULES_REFRESH_ENABLED": "false",
        "VIEWS_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
        "VIEWS_REFRESH_ENABLED": "false",
    }
    with ExitStack() as stack:
        programs = [healthy, *(stack.enter_context(Program(env=environ)) for environ in ({}, resting))]
        life = [stack.enter_context(prometheus.scraping(program.port)) for program in programs]
        assert healthy.get("/api/v2/publishing/targets/refresh", "POST")[0] == 202
        for one in life:
            one.waits_for("count_over_time(up{%s}[1h]) > 15")
        assert [one.ever() for one in life] == [set()] * 3


@pytest.mark.parametrize(
    ("incident", "alerts"),
    [(None, set()), ("views", {"AlertRefreshNoSuccess"})],
)
def test_a_day_of_what_a_healthy_program_exports_is_silent_and_one_with_an_incident_is_not(
    healthy: Program, incident: str | None, alerts: set[str], tmp_path: Path
) -> None:
    text = healthy.get("/metrics")[2].decode()
    assert day.alerts(day.of(text, incident), tmp_path) == alerts


def test_rules_that_name_targets_that_do_not_exist_alert_until_the_targets_are_there(folder: Path) -> None:
    file = folder.with_name("rules.yaml")
    file.write_text(RULES.replace("good", "good, missing"))
    environ = of_folder(folder) | {"RULES_FILE": str(file)} | quick("RULES")
    with Program(env=environ) as program:
        program.wait_for("Rules refreshed successfully")
        with shared().scraping(program.port) as seen:
            seen.fires("AlertRefreshRulesDangling")
            write(folder / "missing.yaml", secret("missing"))
            seen.resolves("AlertRefreshRulesDangling")


def test_a_folder_that_is_emptied_alerts_until_its_targets_are_there_again(folder: Path) -> None:
    away = folder.with_name("away")
    environ = of_folder(folder) | quick("TARGET", BASE_BACKOFF="10m", MAX_BACKOFF="10m")
    with Program(env=environ) as program, shared().scraping(program.port) as seen:
        program.wait_for("Targets refreshed successfully")
        folder.rename(away)
        folder.mkdir()
        assert "targets" in seen.fires("AlertRefreshHeld", kind="targets")["annotations"]["summary"]
        assert eventually(lambda: program.get(TARGETS_STATUS)[2]["status"] == "success"), "between two attempts"
        assert program.get(TARGETS_STATUS)[2]["held"]["names"] == ["good"]
        folder.rmdir()
        away.rename(folder)
        seen.resolves("AlertRefreshHeld")


def test_a_state_directory_that_is_missing_alerts_until_it_is_there(folder: Path) -> None:
    state = folder.with_name("state")
    environ = of_folder(folder) | {"ALERT_REFRESH_STATE_DIR": str(state)}
    with Program(env=environ) as program, shared().scraping(program.port) as seen:
        program.wait_for("The snapshot of targets cannot be written")
        seen.fires("AlertRefreshSnapshotNotWritten", kind="targets")
        state.mkdir()
        seen.resolves("AlertRefreshSnapshotNotWritten")
        assert (state / "snapshot-targets").stat().st_size > 0


def test_a_snapshot_that_could_not_be_written_at_the_start_alerts_though_no_refresh_follows(folder: Path) -> None:
    environ = of_folder(folder) | {"ALERT_REFRESH_STATE_DIR": str(folder.with_name("missing"))}
    with Program(env=environ | quick("TARGET", INTERVAL="6h", WARMUP="6h")) as program:
        program.wait_for("The snapshot of targets cannot be written")
        with shared().scraping(program.port) as seen:
            seen.fires("AlertRefreshSnapshotNotWritten", kind="targets")


def test_what_two_daemons_tell_of_one_alertmanager_are_two_series(folder: Path) -> None:
    template = folder.with_name("template.yml")
    template.write_text("route: {receiver: root}\nreceivers: [{name: root}]\n")
    environ = of_folder(folder) | {
        "ALERTMANAGER_CONFIG_TEMPLATE": str(template),
        "ALERTMANAGER_URL": "http://127.0.0.1:1",
    }
    first, second = (environ | {"ALERTMANAGER_CONFIG_FILE": str(folder.with_name(name))} for name in ("one", "two"))
    with (
        Program(env=first) as one,
        Program(env=second) as two,
        shared().scraping(one.port),
        shared().scraping(two.port) as seen,
    ):
        series = 'alert_refresh_alertmanager_in_sync{instance="127.0.0.1:1",daemon="127.0.0.1:%d"}'
        seen.waits_for(series.replace("%d", str(two.port)))
        seen.waits_for(series.replace("%d", str(one.port)))


def test_cycles_that_keep_failing_open_the_breaker_and_alert_until_one_succeeds(folder: Path) -> None:
    away = folder.with_name("away")
    environ = of_folder(folder) | quick("TARGET", BREAKER_FAILURES="2")
    with Program(env=environ) as program, shared().scraping(program.port) as seen:
        program.wait_for("Targets refreshed successfully")
        folder.rename(away)
        seen.fires("AlertRefreshBreakerOpen", kind="targets")
        away.rename(folder)
        seen.resolves("AlertRefreshBreakerOpen")


def test_a_watch_that_loses_events_alerts_until_it_does_not(kube: KubeServer, tmp_path: Path) -> None:
    # A correction counts as drift if no event has told of it within a second: before the next list.
    environ = of_cluster(kube, tmp_path, TARGET_WATCH="true", TARGET_REFRESH_INTERVAL="1500ms")
    drift = "alert_history_publishing_refresh_drift_corrected_total{%s}"
    rule = kube.fault(faults.half_open, when=lambda request: "watch" in request.query)
    with Program(env=environ) as program, shared().scraping(program.port) as seen:
        seen.waits_for("alert_history_publishing_refresh_watch_connected{%s} == 1")
        assert rule.fired
        numbers = count(1)

        def drifts() -> bool:
            number = next(numbers)
            name = f"target-0000{number % 3}"
            kube.store.replace(kubernetes_secret(name, format=("webhook", "alertmanager")[number % 2]))
            seen.waits_for(f"{drift} >= {number}")
            return bool(seen.firing("AlertRefreshDrift"))

        assert eventually(drifts, PATIENCE), "as often as its window asks for, however slow the machine is"
        kube.faults.clear()
        seen.resolves("AlertRefreshDrift")


def test_a_webhook_that_refuses_notifications_alerts_until_it_does_not(folder: Path) -> None:
    away = folder.with_name("away")
    with Hook(400) as hook:
        environ = of_folder(folder) | {"ALERT_REFRESH_NOTIFY_URL": hook.url}
        with Program(env=environ) as program, shared().scraping(program.port) as seen:
            program.wait_for("Targets refreshed successfully")
            seen.waits_for('alert_refresh_notifications_total{%s,status="failed"} == 0')
            numbers = count(1)

            def refused() -> bool:
                number = next(numbers)
                folder.rename(away)
                program.wait_for("Refresh failed 3 times in a row", number)
                away.rename(folder)
                program.wait_for("Refresh recovered", number)
                return eventually(lambda: bool(seen.firing("AlertRefreshNotificationsFailing")), 5.0, EVERY)

            assert eventually(refused, PATIENCE)
            hook.script[:] = [200]
            folder.rename(away)
            hook.wait_for(len(hook.posts) + 1)
            away.rename(folder)
            seen.resolves("AlertRefreshNotificationsFailing")


def test_streams_that_are_all_taken_alert_until_one_is_free(folder: Path) -> None:
    environ = of_folder(folder) | {"ALERT_REFRESH_MAX_STREAMS": "1"}
    with Program(env=environ) as program, shared().scraping(program.port) as seen:
        with program.connect() as client:
            client.sendall(b"GET /api/v2/events HTTP/1.1\r\nHost: x\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.1 200"
            seen.fires("AlertRefreshStreamsFull")
            assert program.get("/api/v2/events")[0] == 503
        seen.resolves("AlertRefreshStreamsFull")


def test_a_program_that_is_started_again_and_again_alerts_until_it_stays(folder: Path) -> None:
    environ = of_folder(folder) | {"ALERT_REFRESH_BIND": f"127.0.0.1:{lasting_port()}"}
    started = "last_over_time(process_start_time_seconds{%s}[1m])"
    with ExitStack() as stack:
        program = stack.enter_context(Program(env=environ))
        seen = stack.enter_context(shared().scraping(program.port))

        def again() -> bool:
            nonlocal program
            (before,) = seen.query(started)
            program.process.kill()
            program.wait()
            program = stack.enter_context(Program(env=environ))
            seen.waits_for(f"{started} > {before['value'][1]}")
            return bool(seen.firing("AlertRefreshRestarts"))

        assert eventually(again, PATIENCE), "as often as its window asks for, however slow the machine is"
        seen.fires("AlertRefreshRestarts")
        seen.resolves("AlertRefreshRestarts")


def test_wrong_tokens_alert_until_they_stop(folder: Path) -> None:
    environ = of_folder(folder) | {"ALERT_REFRESH_ADMIN_TOKEN": "the-admin-token-of-a-test"}
    with Program(env=environ) as program, shared().scraping(program.port) as seen:
        seen.waits_for("alert_refresh_wrong_tokens_total{%s} == 0")

        def guessed() -> bool:
            for _ in range(20):
                answer = program.get("/api/v2/publishing/targets/refresh", "POST", Authorization="Bearer guessed")
                assert answer[0] == 401
            return bool(seen.firing("AlertRefreshWrongTokens"))

        assert eventually(guessed, PATIENCE)
        seen.resolves("AlertRefreshWrongTokens")
