"""The example clients of the change feed, run as they are: they follow, and go on where they were."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.ports import lasting_port
from tests.process.program import PATIENCE, ROOT, Program, eventually
from tests.process.test_streams import PUBLISHING, STREAMS, gauge, generation, publish
from tests.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.usefixtures("unmeasured")

EXAMPLES = ROOT / "config/examples"


@contextmanager
def client(name: str, port: int) -> Iterator[list[str]]:
    """The example runs; its lines appear in the list."""
    interpreter = [sys.executable] if name.endswith(".py") else ["bash"]
    if name.endswith(".sh") and not all(map(shutil.which, ("bash", "curl", "jq"))):
        pytest.skip("bash, curl or jq is not here")
    command = [*interpreter, str(EXAMPLES / name), f"http://127.0.0.1:{port}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, process_group=0)
    lines: list[str] = []
    assert process.stdout is not None
    reader = threading.Thread(target=lambda: lines.extend(iter(process.stdout.readline, "")))  # type: ignore[union-attr]
    reader.start()
    try:
        yield lines
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE)
        reader.join(PATIENCE)
        process.stdout.close()


@pytest.mark.parametrize("name", ["follow.sh", "follow.py"])
def test_an_example_follows_and_goes_on_after_a_restart(name: str) -> None:
    port = lasting_port()
    bind = {"ALERT_REFRESH_BIND": f"127.0.0.1:{port}"}
    with Program(PUBLISHING, env=bind) as program:
        assert eventually(lambda: program.get("/readyz")[0] == 200)
        with client(name, port) as lines:
            assert eventually(lambda: any(line.startswith("sync ") for line in lines))
            told = [f"published targets {publish(program)['last']}\n" for _ in range(3)]
            assert eventually(lambda: [line for line in lines if line.startswith("published")] == told)
            program.stop()
            with Program(PUBLISHING, env=bind) as again:
                assert eventually(lambda: len([line for line in lines if line.startswith("sync ")]) == 2)
                told.append(f"published targets {publish(again)['last']}\n")
                assert eventually(lambda: lines[-1] == told[-1])
                assert str(generation(again)) in lines[-1]


@pytest.mark.parametrize("name", ["follow.sh", "follow.py"])
def test_an_example_whose_connection_is_cut_misses_nothing_and_sees_nothing_twice(name: str) -> None:
    with Program(PUBLISHING, env={"ALERT_REFRESH_MAX_STREAMS": "1"}) as program:
        assert eventually(lambda: program.get("/readyz")[0] == 200)
        with Proxy(program.connect) as proxy, client(name, proxy.port) as lines:
            assert eventually(lambda: any(line.startswith("sync ") for line in lines))
            first = publish(program, 3)["first"]
            # Until the daemon has noticed: it would refuse a second stream, and the example may be quick to ask for it.
            proxy.refuse()
            assert eventually(lambda: gauge(program, STREAMS) == 0)
            proxy.open()
            last = publish(program, 3)["last"]
            told = [f"published targets {number}\n" for number in range(first, last + 1)]
            assert eventually(lambda: len([line for line in lines if line.startswith("published")]) >= len(told))
            assert [line for line in lines if line.startswith("published")] == told
            assert len([line for line in lines if line.startswith("sync")]) == 1
