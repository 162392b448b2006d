"""`alert-refresh views`."""

from __future__ import annotations

import json
from typing import Any

from tests.cli.stub import Stub, answer, by_path

VIEW: dict[str, Any] = {
    "name": "mv_stats", "state": "stale", "mode": "concurrently", "outcome": "failed", "duration_ms": 1.7, "rows": 5,
    "last_success": "2026-11-26T01:00:03Z", "next_refresh": "2026-11-26T01:02:33Z", "reason": "lock timeout",
}  # fmt: skip
ROUTES = {"GET /api/v2/views": answer({"generation": 1, "views": [VIEW]}), "GET /api/v2/views/mv_stats": answer(VIEW)}


def test_a_view_is_a_line() -> None:
    with Stub(by_path(ROUTES)) as daemon:
        found = daemon.run("views")
        as_json = daemon.run("views", "list", "--json")
    assert found.output.splitlines() == [
        "NAME       STATE   AGE   NEXT   ROWS   TOOK   OUTCOME   WHY",
        "mv_stats   stale   2m    30s    5      2 ms   failed    lock timeout",
    ]
    assert json.loads(as_json.output)["views"] == [VIEW]


def test_one_view_is_shown() -> None:
    with Stub(by_path(ROUTES)) as daemon:
        found = daemon.run("views", "get", "mv_stats")
        as_json = daemon.run("views", "get", "mv_stats", "-o", "json")
        assert daemon.run("views", "get", 'a."b c"').exit_code == 3, "there is no such route here"
    assert "reason:       lock timeout" in found.output
    assert json.loads(as_json.output) == VIEW
    assert daemon.paths[-1] == "GET /api/v2/views/a.%22b%20c%22"
