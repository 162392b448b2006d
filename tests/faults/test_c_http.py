"""Many concurrent clients of the real program."""

from __future__ import annotations

import json
import re
import resource
import socket
import struct
import threading
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import pytest

from bench.client import Client
from tests.kube import Exchange, KubeServer, fill, kubeconfig
from tests.kube.api import is_watch
from tests.process.program import Program, eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("unmeasured")

TARGETS = "/api/v2/publishing/targets"
UNLIMITED = {"TARGET_REFRESH_RATE_LIMIT": "0s", "TARGET_REFRESH_WARMUP": "1h", "TARGET_REFRESH_TIMEOUT": "10m"}
"""No refresh but those that are asked for, however long that takes."""
CLIENTS, ROUNDS = 1000, 20


@pytest.fixture
def many_files() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * CLIENTS + 500
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip("not enough file descriptors are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def refreshes(program: Program, status: str = "success") -> int:
    """How many attempts ended like this, by its metrics."""
    text = program.get("/metrics")[2].decode()
    found = re.search(rf'^alert_history_publishing_refresh_total{{status="{status}"}} (\S+)', text, re.MULTILINE)
    assert found is not None
    return int(float(found[1]))


def ready(program: Program) -> None:
    """Wait for the first refresh; the port is stored, to avoid searching many log lines for it."""
    program.fixed_port = program.port
    assert eventually(lambda: refreshes(program) == 1)


@pytest.mark.timeout(300)
def test_c01_of_a_thousand_parallel_posts_exactly_one_is_accepted_in_each_of_twenty_rounds(
    tmp_path: Path, many_files: None
) -> None:
    gate = threading.Event()

    def hold(exchange: Exchange) -> bool:
        assert gate.wait(200)
        return exchange.answer()

    with KubeServer() as kube, ExitStack() as stack:
        fill(kube.store, 3)
        env = UNLIMITED | {"KUBECONFIG": str(kubeconfig(tmp_path / "kubeconfig", kube.url)), "K8S_NAMESPACE": "default"}
        program = stack.enter_context(Program(env=env))
        ready(program)
        kube.fault(hold, when=lambda request: not is_watch(request))
        before = len(kube.lists())
        clients = [stack.enter_context(Client(program.port)) for _ in range(CLIENTS)]
        for number in range(ROUNDS):
            gate.clear()
            for client in clients:
                client.send(f"{TARGETS}/refresh", "POST")
            answers = [client.receive() for client in clients]
            accepted = [json.loads(body) for status, body in answers if status == 202]
            refused = {(status, json.loads(body)["error"]) for status, body in answers if status != 202}
            assert len(accepted) == 1
            assert refused == {(503, "refresh_in_progress")}
            gate.set()
            assert eventually(partial(lambda number: refreshes(program) == number + 2, number))
        assert len(kube.lists()) - before == ROUNDS
        assert refreshes(program, "failed") == 0


@pytest.mark.timeout(300)
def test_c04_reads_over_http_during_swaps_each_fit_together() -> None:
    """At least 2,000 reads and 20 swaps. The n-th refresh serves `target-n` alone, so they belong together."""
    with Program("tests.process.scripted", '["ok"]', env=UNLIMITED) as program:
        ready(program)
        over = threading.Event()
        swaps: list[int] = []
        found: list[list[int]] = [[] for _ in range(4)]

        def swap() -> None:
            with Client(program.port) as client:
                while not over.is_set():
                    swaps.append(client.request(f"{TARGETS}/refresh?wait=10s", "POST")[0])

        def read(seen: list[int]) -> None:
            newest = 0
            with Client(program.port) as client:
                while len(seen) < 500 or (len(swaps) < 20 and swapping.is_alive()):
                    status, body = client.json(TARGETS)
                    assert status == 200
                    [target] = body["targets"]
                    seen.append(body["generation"] - int(target["name"].removeprefix("target-")))
                    assert body["generation"] >= newest
                    newest = body["generation"]

        swapping = threading.Thread(target=swap)
        reading = [threading.Thread(target=read, args=(seen,)) for seen in found]
        for thread in (swapping, *reading):
            thread.start()
        for thread in reading:
            thread.join()
        over.set()
        swapping.join()
        assert all(len(seen) >= 500 for seen in found)
        assert len({difference for seen in found for difference in seen}) == 1
        assert refreshes(program) >= 20


@pytest.mark.parametrize("reset", [False, True])
def test_c11_a_refresh_continues_after_its_client_has_disconnected(reset: bool) -> None:
    with Program("tests.process.scripted", '["ok", "slow"]', env=UNLIMITED) as program:
        ready(program)
        with program.connect() as client:
            if reset:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sendall(f"POST {TARGETS}/refresh?wait=30s HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode())
            program.wait_for("Attempt 2")
        assert eventually(lambda: refreshes(program) == 2)
        assert program.get(f"{TARGETS}/status")[2]["status"] == "success"
        assert b"refresh_in_progress 0.0" in program.get("/metrics")[2]
