"""A real pgbouncer for tests, from Debian's package as `make tools` unpacks it, or the machine's own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.ports import lasting_port

if TYPE_CHECKING:
    from typing import Self

    from tests.postgres import Database

UNPACKED = Path(__file__).parent.parent / ".cache" / "pgbouncer"


def program() -> str:
    """Where it is; the test is skipped where it is not."""
    found = shutil.which("pgbouncer", path=f"{UNPACKED}/usr/sbin:/usr/sbin:{os.environ.get('PATH', '')}")
    if found is None:
        pytest.skip("pgbouncer is not installed; make tools fetches it where Debian's packages are at hand")
    return found


class PgBouncer:
    """Between clients and one database, in a pool mode; leaving it ends the process."""

    def __init__(self, database: Database, mode: str, size: int = 5) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ar-pgb-"))
        self.database = database
        self.port = lasting_port()
        settings = [
            "[databases]", f"* = host={database.server.folder} port=5432 user=postgres",
            "[pgbouncer]", "listen_addr = 127.0.0.1",
            f"listen_port = {self.port}", "auth_type = any", f"pool_mode = {mode}", f"default_pool_size = {size}",
            "unix_socket_dir =", "ignore_startup_parameters = extra_float_digits", f"logfile = {self.folder}/log",
        ]  # fmt: skip
        (self.folder / "ini").write_text("\n".join(settings) + "\n")
        self.folder.chmod(0o777)

    def dsn(self) -> str:
        return psycopg.conninfo.make_conninfo(
            host="127.0.0.1", port=self.port, dbname=self.database.name, user="postgres"
        )

    def __enter__(self) -> Self:
        libraries = ":".join(str(folder) for folder in UNPACKED.glob("usr/lib/*-linux-gnu"))
        command = [program(), *(["-u", "nobody"] if os.geteuid() == 0 else []), str(self.folder / "ini")]
        self.process = subprocess.Popen(
            command, env={"LD_LIBRARY_PATH": libraries}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + 30
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return self
            except OSError:
                assert time.monotonic() < until and self.process.poll() is None, "pgbouncer does not start"
                time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait(20)
        shutil.rmtree(self.folder, ignore_errors=True)
