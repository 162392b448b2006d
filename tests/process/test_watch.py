"""The program and the watch of an API server: what it serves, how it recovers, and how it stops."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.kube import KubeServer, faults, fill, kubeconfig, secret
from tests.kube.api import is_watch
from tests.kube.wire import chunked, head
from tests.process.following import Reader
from tests.process.program import PATIENCE, SLOW_MACHINE, Program, eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.kube import Exchange, Request

CHUNKED = {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}
TARGETS = "/api/v2/publishing/targets"


@pytest.fixture
def kube() -> Iterator[KubeServer]:
    with KubeServer() as server:
        fill(server.store, 3)
        yield server


@pytest.fixture
def env(kube: KubeServer, tmp_path: Path) -> dict[str, str]:
    return {"KUBECONFIG": str(kubeconfig(tmp_path / "kubeconfig", kube.url)), "K8S_NAMESPACE": "default"}


def watches(kube: KubeServer) -> list[Request]:
    return [one for one in kube.requests if is_watch(one)]


def served(program: Program) -> dict[str, str]:
    """The format of each target by its name."""
    status, _, answer = program.get(TARGETS)
    assert status == 200, answer
    return {one["name"]: one["format"] for one in answer["targets"]}


def status_of(program: Program) -> dict[str, Any]:
    status, _, answer = program.get(f"{TARGETS}/status")
    assert status == 200, answer
    return dict(answer)


def change_three_ways(kube: KubeServer) -> dict[str, str]:
    """Add one Secret, change another, delete a third; returns what must be served then."""
    kube.store.create(secret("added"))
    kube.store.replace(secret("target-00000", format="webhook"))
    kube.store.delete("default", "target-00001")
    return {"added": "alertmanager", "target-00000": "webhook", "target-00002": "alertmanager"}


def messages_from_stopping_on(program: Program) -> list[str]:
    messages = [line["message"] for line in program.log]
    return messages[messages.index("Stopping") :]


def ended_well(program: Program) -> bool:
    return program.process.returncode == 0 and program.stderr == ""


class TestServing:
    def test_a_secret_that_comes_changes_and_goes_does_so_over_http_without_a_list(
        self, kube: KubeServer, env: dict[str, str]
    ) -> None:
        with Program(env=env) as program:
            program.wait_for("The watch is connected")
            before = status_of(program)
            assert before["watch"]["connected"] is True
            assert before["watch"]["error"] is None
            kube.store.create(secret("one"))
            assert eventually(lambda: served(program).get("one") == "alertmanager")
            kube.store.replace(secret("one", format="webhook"))
            assert eventually(lambda: served(program)["one"] == "webhook")
            kube.store.delete("default", "one")
            assert eventually(lambda: "one" not in served(program))
            assert program.get(f"{TARGETS}/one")[0] == 404
            after = status_of(program)
            assert after["watch"]["connected"] is True
            assert after["watch"]["last_proof_of_life"] is not None
            assert after["generation"] == before["generation"] + 3
            assert after["last_refresh"] == before["last_refresh"]
            program.wait_for("Targets changed", 3)
            assert len(program.find("Targets refreshed")) == len(kube.lists()) == 1
            assert [line["trigger"] for line in program.find("Targets changed")] == ["watch"] * 3


class TestReconnecting:
    @pytest.mark.parametrize("how", ["reset", "closed"])
    def test_what_a_watch_that_was_cut_did_not_tell_is_served_by_the_next(
        self, kube: KubeServer, env: dict[str, str], how: str
    ) -> None:
        cut = threading.Event()
        rule = kube.fault(mute_until(cut, how), when=is_watch, times=1)
        version = kube.store.version
        with Program(env=env) as program:
            program.wait_for("The watch is connected")
            wanted = change_three_ways(kube)
            assert "added" not in served(program)
            cut.set()
            assert eventually(lambda: served(program) == wanted)
            assert program.wait_for("The watch is lost")["error"] == "the watch's connection broke"
            program.wait_for("The watch is connected", 2)
            assert status_of(program)["watch"]["connected"] is True
            assert rule.fired == 1
            assert [one.query["resourceVersion"] for one in watches(kube)] == [str(version)] * 2
            assert len(kube.lists()) == 1

    def test_changes_while_the_server_was_unavailable_are_served_when_it_is_back(
        self, kube: KubeServer, env: dict[str, str]
    ) -> None:
        with Program(env=env) as program:
            program.wait_for("The watch is connected")
            before = served(program)
            kube.close()
            # A watch that is merely cut resumes; only a server that was found to be away is listed anew.
            assert eventually(lambda: "cannot connect" in str(status_of(program)["watch"]["error"]))
            assert status_of(program)["watch"]["connected"] is False
            wanted = change_three_ways(kube)
            assert served(program) == before
            kube.open()
            assert eventually(lambda: served(program) == wanted)
            assert eventually(lambda: status_of(program)["watch"]["connected"] is True)
            assert status_of(program)["watch"]["error"] is None
            program.wait_for("The watch is connected", 2)
            assert len(program.find("The watch is lost")) == 1
            program.wait_for("Targets refreshed", 2)
            assert len(kube.lists()) == 2


class TestStopping:
    def test_p02_a_stop_does_not_wait_for_the_headers_of_a_watch(self, kube: KubeServer, env: dict[str, str]) -> None:
        rule = kube.fault(faults.silence, when=is_watch)
        with Program(env=env) as program:
            program.wait_for("Serving")
            assert rule.happened.wait(PATIENCE), "the program never requested a watch"
            program.wait_for("Targets refreshed successfully")
            assert status_of(program)["watch"]["connected"] is False
            took = program.stop()
            assert took < 5 + SLOW_MACHINE
            assert ended_well(program), program.stderr
            assert messages_from_stopping_on(program) == ["Stopping", "shutdown_clean"]
            assert not program.find("The watch is")
            assert rule.fired == 1

    def test_p02_a_watch_that_begins_after_the_stop_publishes_nothing(
        self, kube: KubeServer, env: dict[str, str]
    ) -> None:
        stopping, refused = threading.Event(), threading.Event()

        def late(exchange: Exchange) -> bool:
            if stopping.wait(PATIENCE):
                event = b'{"type":"ADDED","object":%b}\n' % kube.store.create(secret("late")).whole()
                # In one write: a client that refuses the response closes the connection after the headers.
                exchange.wire.send(head(200, CHUNKED) + chunked(event))
                with suppress(ConnectionResetError):
                    exchange.wire.sock.recv(1)
                refused.set()
            return False

        def hang(exchange: Exchange) -> bool:
            refused.wait(2 * PATIENCE)
            return False

        watch = kube.fault(late, when=is_watch)
        # A list that hangs keeps the program up, so that there is time to publish in.
        lists = kube.fault(hang, when=lambda request: not is_watch(request), after=1)
        with Program(env=env) as program:
            program.wait_for("Targets refreshed successfully")
            assert watch.happened.wait(PATIENCE), "the program never requested a watch"
            assert program.get(f"{TARGETS}/refresh", "POST")[0] == 202
            assert lists.happened.wait(PATIENCE), "the program never requested a list"
            with Reader(program.port) as reader:
                reader.read_until("sync")
                began = program.send(signal.SIGTERM)
                while reader.read() is not None:
                    pass  # the stream ends once every watch was told to stop
            stopping.set()
            assert refused.wait(PATIENCE), "the watch never began, or goes on"
            program.wait()
            assert time.monotonic() - began < 5 + SLOW_MACHINE
            assert ended_well(program), program.stderr
            assert messages_from_stopping_on(program) == ["Stopping", "Refresh cancelled", "shutdown_clean"]
            assert not program.find("Targets changed")

    def test_a_stop_does_not_wait_for_a_silent_watch(self, kube: KubeServer, env: dict[str, str]) -> None:
        with Program(env=env) as program:
            program.wait_for("Serving")
            program.wait_for("The watch is connected")
            took = program.stop()
            assert took < 1 + SLOW_MACHINE
            assert ended_well(program), program.stderr
            assert messages_from_stopping_on(program) == ["Stopping", "shutdown_clean"]
            assert len(watches(kube)) == len(kube.lists()) == 1


def mute_until(cut: threading.Event, how: str) -> Callable[[Exchange], bool]:
    """A watch that starts, sends no event, and is cut: `reset`, or `closed` without the last chunk."""

    def act(exchange: Exchange) -> bool:
        exchange.wire.head(200, CHUNKED)
        cut.wait(PATIENCE)
        if how == "reset":
            exchange.wire.reset()
        return False

    return act
