"""`alert-refresh refreshes`."""

from __future__ import annotations

import json
import time
from urllib.parse import parse_qs

from tests.cli.stub import REQUEST_ID, Stub, answer, by_path

RECORD = {
    "request_id": REQUEST_ID, "kind": "targets", "trigger": "manual", "result": "failed", "scope": None,
    "accepted_at": None, "started_at": "2026-11-26T01:00:03Z", "duration_ms": 12, "attempts": 2, "error": "refused\x1b",
    "error_type": "network", "items": None, "rejected": None, "generation": 7, "changed": False, "next_attempt": None,
}  # fmt: skip
QUEUED = RECORD | {"result": "queued", "accepted_at": "2026-11-26T01:02:02Z", "started_at": None, "error": None}
LIST = by_path({"GET /api/v2/refreshes": answer({"refreshes": [QUEUED, RECORD], "next_cursor": None})})


def test_a_refresh_is_a_line() -> None:
    with Stub(LIST) as daemon:
        found = daemon.run("refreshes")
    assert found.output.splitlines() == [
        "AGE   KIND      RESULT   TRIGGER   TOOK    ATTEMPTS   ITEMS   REQUEST                                ERROR",
        f"1s    targets   queued   manual    12 ms   2          -       {REQUEST_ID}   -",
        f"2m    targets   failed   manual    12 ms   2          -       {REQUEST_ID}   network: refused\\x1b",
    ]
    assert daemon.paths == ["GET /api/v2/refreshes?limit=20"]


def test_filters_are_the_daemons() -> None:
    filters = ("--kind", "rules", "--result", "failed", "--trigger", "watch", "--limit", "3")
    with Stub(LIST) as daemon:
        as_json = daemon.run("refreshes", *filters, "--since", "2026-11-25", "-o", "json")
        assert daemon.run("refreshes", "list", "--since", "1h").exit_code == 0
        assert daemon.run("refreshes", "list", "--limit", "1001").exit_code == 2
    assert json.loads(as_json.output) == {"refreshes": [QUEUED, RECORD], "next_cursor": None}
    first, second = (parse_qs(asked.path.partition("?")[2]) for asked in daemon.asked)
    assert first == {
        "kind": ["rules"], "result": ["failed"], "trigger": ["watch"], "since": ["2026-11-25"], "limit": ["3"]
    }  # fmt: skip
    assert abs(float(second["since"][0]) - (time.time() - 3600)) < 60


def test_one_refresh_is_shown_with_what_it_changed() -> None:
    difference = {"added": ["a\x1b"], "removed": [], "changed": [], "added_count": 1, "removed_count": 0}
    one = RECORD | {"difference": difference}
    with Stub(by_path({f"GET /api/v2/refreshes/{REQUEST_ID}": answer(one)})) as daemon:
        found = daemon.run("refreshes", "get", REQUEST_ID)
        as_json = daemon.run("refreshes", "get", REQUEST_ID, "--json")
    assert found.output.splitlines()[0] == f"request_id:   {REQUEST_ID}"
    assert found.output.splitlines()[-1] == "  + a\\x1b"
    assert json.loads(as_json.output) == one
    assert daemon.paths[-1] == f"GET /api/v2/refreshes/{REQUEST_ID}"
