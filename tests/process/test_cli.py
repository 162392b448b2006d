"""The commands against the real daemon."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.cli.remote import event_stream
from alert_refresh.cli.remote.client import Client, Failed
from alert_refresh.cli.remote.server_url import ServerUrl
from tests.ports import lasting_port
from tests.postgres import VIEWS, hierarchy
from tests.process import cli_page
from tests.process.program import PATIENCE, ROOT, SOON, Program
from tests.process.test_streams import PREFIX, proxied
from tests.targets.folder.folders import secret, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("unmeasured")

COMMAND = [sys.executable, "-m", "alert_refresh"]
TOKEN = "canary-3b7e"


def environment(**more: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)} | more


def ask(url: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command that asks the daemon there."""
    return subprocess.run(
        [*COMMAND, *arguments], env=environment(ALERT_REFRESH_URL=url, **env), cwd=ROOT, capture_output=True, text=True,
        timeout=50, check=False,
    )  # fmt: skip


def url_of(program: Program) -> str:
    return f"http://127.0.0.1:{program.port}"


class Following:
    """`events --follow` in a process of its own; its lines are read as they come."""

    def __init__(self, url: str, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [*COMMAND, "events", "--follow", "-o", "json", *arguments],
            env=environment(ALERT_REFRESH_URL=url),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._guard = threading.Timer(PATIENCE * 3, self.process.kill)
        self._guard.start()

    def __enter__(self) -> Following:
        return self

    def __exit__(self, *_: object) -> None:
        self._guard.cancel()
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def next(self, event: str, **fields: Any) -> dict[str, Any]:
        """The next event of this name with these fields."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            found: dict[str, Any] = json.loads(line)
            if found["event"] == event and all(found.get(name) == value for name, value in fields.items()):
                return found
        raise AssertionError(self.process.communicate())

    def told(self) -> str:
        """The next line of standard error."""
        assert self.process.stderr is not None
        return self.process.stderr.readline()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten targets."""
    (tmp_path / "targets").mkdir()
    for number in range(10):
        write(tmp_path / "targets" / f"{number}.yaml", secret(f"target-{number}"))
    return tmp_path / "targets"


def settings(folder: Path, **more: str) -> dict[str, str]:
    quiet = {"TARGET_REFRESH_WARMUP": "1h", "TARGET_REFRESH_RATE_LIMIT": "0s", "TARGET_REFRESH_BASE_BACKOFF": "1h"}
    return {"TARGET_DIRECTORY": str(folder), "TARGET_REFRESH_MAX_BACKOFF": "1h", "TARGET_WATCH": "false"} | quiet | more


def test_the_page_of_the_command_line_shows_what_is_printed() -> None:
    if shutil.which("jq") is None:
        pytest.skip("jq is not here")
    page = cli_page.PAGE.read_text()
    with cli_page.running() as place:
        found = cli_page.rewritten(page, place)
    assert len(cli_page.BLOCK.findall(page)) >= 10
    assert cli_page.comparable(found) == cli_page.comparable(page), "python -m tests.process.cli_page writes it anew"


def test_following_goes_on_across_a_restart_of_the_daemon(folder: Path) -> None:
    bind = {"ALERT_REFRESH_BIND": f"127.0.0.1:{lasting_port()}"}
    with Program(env=settings(folder, **bind)) as first:
        url = url_of(first)
        first.wait_for("Targets refreshed")
        with Following(url, "--kind", "targets") as following:
            position = following.next("sync")["id"]
            assert ask(url, "refresh", "targets", "--wait").returncode == 0
            refreshed = following.next("refresh", trigger="manual")
            since = ask(url, "events", "--after", position, "-o", "json")
            assert [json.loads(line)["id"] for line in since.stdout.splitlines()] == [refreshed["id"]]
            assert first.stop() < SOON
            assert following.told().startswith("The stream has ended; connecting again in 2 s, after event ")
            with Program(env=settings(folder, **bind)) as second:
                second.wait_for("Serving")
                resumed = following.next("sync")
                assert resumed["missed"] is True, "the new process does not have the events of the old one"
                assert ask(url, "refresh", "targets", "--wait").returncode == 0
                assert following.next("refresh", trigger="manual")["id"] > resumed["id"]
                following.process.send_signal(signal.SIGINT)
                assert following.process.wait(PATIENCE) == 130
            assert ask(url, "events", "--after", position).returncode == 3


def test_a_removal_that_is_held_is_shown_and_decided(folder: Path) -> None:
    with Program(env=settings(folder)) as program:
        url = url_of(program)
        program.wait_for("Targets refreshed")
        for number in range(1, 10):
            (folder / f"{number}.yaml").unlink()
        held = ask(url, "refresh", "targets", "--wait")
        assert (held.returncode, held.stdout.partition(" in ")[0]) == (0, "targets: held")
        shown = json.loads(ask(url, "status", "targets", "--json").stdout)["held"]
        assert (shown["count"], shown["rejected"]) == (9, False)
        told = ask(url, "status").stdout
        assert re.search(
            rf"the removal of 9 is held for \d+s, proposal {shown['proposal']}; 9 stale$", told, re.MULTILINE
        )
        rejected = ask(url, "reject", "targets", shown["proposal"])
        assert rejected.stdout.startswith("targets: Removal rejected: 9\n  = target-1\n")
        assert "the removal of 9 is rejected" in ask(url, "status").stdout
        assert ask(url, "approve", "targets", "0" * 16).returncode == 5
        approved = ask(url, "approve", "targets", shown["proposal"])
        assert approved.stdout.startswith("targets: Removal approved: 9\n  - target-1\n")
        assert ask(url, "targets").stdout.count("\n") == 2
        assert ask(url, "approve", "targets", shown["proposal"]).returncode == 5


def test_the_token_of_a_file_is_what_a_refresh_needs(folder: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")
    with Program(env=settings(folder, ALERT_REFRESH_ADMIN_TOKEN_FILE=str(token))) as program:
        url = url_of(program)
        program.wait_for("Targets refreshed")
        refused = ask(url, "refresh", "targets")
        assert refused.returncode == 4 and "set ALERT_REFRESH_CLIENT_TOKEN_FILE" in refused.stderr
        wrong = tmp_path / "wrong"
        wrong.write_text("another-token")
        assert ask(url, "refresh", "targets", "--token-file", str(wrong)).returncode == 4
        assert ask(url, "refresh", "targets", "--wait", ALERT_REFRESH_CLIENT_TOKEN_FILE=str(token)).returncode == 0
        hidden = ask(url, "targets", "get", "target-1", "--json").stdout
        shown = ask(url, "targets", "get", "target-1", "--json", "--reveal", "--token-file", str(token)).stdout
        assert json.loads(shown)["url"].startswith(json.loads(hidden)["url"]) and len(shown) > len(hidden)
        assert TOKEN not in str(program.lines)


@pytest.fixture
def in_container(folder: Path, tmp_path: Path) -> Iterator[tuple[Program, dict[str, str]]]:
    """A daemon, and its own variables, with which commands run in its container."""
    (tmp_path / "token").write_text(TOKEN)
    env = {"ALERT_REFRESH_BIND": f"unix:{tmp_path}/s", "ALERT_REFRESH_ADMIN_TOKEN_FILE": str(tmp_path / "token")}
    with Program(env=settings(folder) | env) as program:
        program.wait_for("Serving")
        program.wait_for("Targets refreshed")
        yield program, settings(folder) | env


def test_in_the_daemons_own_container_nothing_has_to_be_set(in_container: tuple[Program, dict[str, str]]) -> None:
    program, env = in_container
    assert ask("", "healthcheck", "--ready", **env).stdout == "ready\n"
    assert ask("", "refresh", "--wait", **env).returncode == 0
    assert ask("", "status", **env).returncode == 0
    program.stop()
    ended = ask("", "healthcheck", **env)
    assert ended.returncode == 1 and "Cannot connect to unix:" in ended.stderr


def test_what_is_stale_or_rejected_is_not_called_fresh(folder: Path) -> None:
    with Program(env=settings(folder)) as program:
        url = url_of(program)
        program.wait_for("Targets refreshed")
        write(folder / "0.yaml", secret("target-0", data={"config": "!"}))
        assert ask(url, "refresh", "targets", "--wait").returncode == 0
        found = ask(url, "status")
        assert re.match(r"Not fresh: targets \(1 stale since .*: target-0\)\.\n\nKIND", found.stdout)
        assert re.search(r"^targets +stale +\S+ +\S+ +10 +1 stale$", found.stdout, re.MULTILINE)
        assert found.returncode == 0
        write(folder / "0.yaml", secret("target-0"), secret("new", data={"config": "!"}))
        assert ask(url, "refresh", "targets", "--wait").returncode == 0
        found = ask(url, "status")
        assert found.stdout.startswith("Not fresh: targets (1 rejected).\n")
        assert re.search(r"^targets +rejected .* 1 rejected$", found.stdout, re.MULTILINE) and found.returncode == 0


def test_names_that_are_routes_a_wrong_path_and_kinds_that_are_off(folder: Path) -> None:
    with Program(env=settings(folder)) as program:
        url = url_of(program)
        program.wait_for("Targets refreshed")
        for name in ("status", "refresh", "none", "a/b", "..", ""):
            assert ask(url, "targets", "get", name).returncode == 5
        assert ask(url, "refresh", "targets", "status").returncode == 5
        assert ask(url, "refreshes", "get", "none").returncode == 5
        for command in (["status"], ["targets"], ["targets", "get", "target-1"], ["refresh", "targets"], ["events"]):
            wrong = ask(f"{url}/prefix", *command)
            assert (wrong.returncode, wrong.stdout) == (3, ""), wrong
            assert wrong.stderr.endswith("is the path of the URL right?\n")
        for command, said in (
            (["rules"], "Error: Rules are off: set RULES_FILE"),
            (["rules", "match", "a=b"], "Error: Rules are off: set RULES_FILE"),
            (["views", "get", "x"], "Error: Views are off: set VIEWS_DATABASE_URL"),
            (["approve", "rules", "x"], "Error: Rules are off: set RULES_FILE"),
            (["refresh", "rules", "--wait"], "rules: Rule refresh is off: set RULES_FILE"),
            (["refresh", "views", "x"], "views: View refresh is off: set VIEWS_DATABASE_URL"),
            (["refresh", "alertmanager"], "alertmanager: Alertmanager refresh is off: set ALERTMANAGER_CONFIG_FILE"),
        ):
            off = ask(url, *command)
            assert off.returncode == 6 and off.stderr.startswith(said) and "again" not in off.stderr, off


def test_the_daemon_knows_the_variables_of_the_commands_and_does_not_use_them(folder: Path) -> None:
    more = {"ALERT_REFRESH_URL": "nonsense", "ALERT_REFRESH_CLIENT_TOKEN_FILE": "/none"}
    with Program(env=settings(folder, **more)) as program:
        program.wait_for("Targets refreshed")
        assert program.answers()


def test_views_are_listed_shown_and_refreshed_one_by_one() -> None:
    database = hierarchy()
    try:
        with Program(env={"VIEWS_DATABASE_URL": database.dsn(), "VIEWS_REFRESH_WARMUP": "1h"}) as program:
            url = url_of(program)
            program.wait_for("Views refreshed successfully")
            rows = ask(url, "status").stdout.splitlines()[3:]
            assert [line.split()[0] for line in rows] == ["views", "targets", "rules", "alertmanager"]
            listed = ask(url, "views").stdout.splitlines()
            assert {tuple(line.split()[:2]) for line in listed[1:]} == {(name, "fresh") for name in VIEWS}
            one = ask(url, "refresh", "views", VIEWS[0], "--wait", "-o", "json")
            assert json.loads(one.stdout)["refreshes"][0]["scope"] == VIEWS[0]
            assert f"name:             {VIEWS[0]}" in ask(url, "views", "get", VIEWS[0]).stdout
            assert ask(url, "views", "get", "mv_none").returncode == 5
            assert ask(url, "refresh", "views", "mv_none").returncode == 5
            assert re.search(r"^views_configured: +3$", ask(url, "status", "views").stdout, re.MULTILINE)
    finally:
        database.drop()


@pytest.mark.parametrize("kind", ["nginx", "caddy"])
def test_behind_a_proxy_below_a_prefix_it_is_asked_and_followed_and_a_proxy_alone_is_told(
    kind: str, folder: Path, tmp_path: Path
) -> None:
    with Program(env=settings(folder)) as program:
        program.wait_for("Targets refreshed")
        with proxied(kind, program.port, tmp_path) as sock:
            client = Client(ServerUrl(socket=str(sock), prefix=PREFIX))
            assert client.get("/api/v2/publishing/targets/target-1", dict).fields["name"] == "target-1"
            told: list[str] = []
            events = event_stream.follow(client, {}, "", told.append)
            assert next(events).name == "sync"
            asked = client.ask("POST", "/api/v2/publishing/targets/refresh")
            assert next(events).data["request_id"] == asked.fields["request_id"]
            assert told == []
            program.stop()
            with pytest.raises(Failed, match=r"answered 502 with .*; a proxy that does not reach it\?"):
                client.get("/health", dict)
