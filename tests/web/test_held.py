"""Held removals over HTTP: in the status, approved, rejected."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, cast

import pytest

from alert_refresh.keep.peek import peek
from alert_refresh.keep.settings import Settings
from alert_refresh.targets.keep import TargetCodec
from alert_refresh.targets.protection import HELD
from tests.web.world import ADMIN, World, target, targets

if TYPE_CHECKING:
    from pathlib import Path

TEN = [target(f"t{number}") for number in range(10)]
AUTH = {"Authorization": f"Bearer {ADMIN}"}


class Emptied(World):
    """Ten targets are served, then the source has two of them: the removal of eight is held."""

    def __init__(self, environ: dict[str, str] | None = None) -> None:
        self.left = TEN
        super().__init__(
            answer=lambda n: targets(*self.left, digest=f"{len(self.left)}"),
            environ={"ALERT_REFRESH_ADMIN_TOKEN": ADMIN} if environ is None else environ,
        )
        self.start()
        self.left = TEN[:2]
        self.client.post("/api/v2/publishing/targets/refresh?wait=10s", headers=AUTH)

    def decide(self, action: str, query: str = "", **sent: Any) -> Any:
        path = f"/api/v2/publishing/targets/{action}{query}"
        return self.client.post(path, **{"headers": AUTH} | sent)

    @property
    def held(self) -> Any:
        return self.get("/status").json["held"]

    @property
    def listed(self) -> dict[str, Any]:
        return {one["name"]: one for one in self.get("").json["targets"]}


def test_the_status_says_what_would_go_and_since_when() -> None:
    with Emptied() as world:
        assert world.held == {
            "proposal": world.held["proposal"],
            "since": "2023-11-14T22:13:20Z",
            "count": 8,
            "names": [f"t{number}" for number in range(2, 10)],
            "rejected": False,
        }
        status = world.get("/status").json
        assert (status["status"], status["stale_targets"], status["targets_discovered"]) == ("success", 8, 10)


def test_held_targets_are_listed_as_stale_with_the_fault_held() -> None:
    with Emptied() as world:
        assert world.listed["t9"]["state"] == "stale"
        assert world.listed["t9"]["faults"] == [{"field": "held", "message": HELD.message}]
        assert world.listed["t0"]["state"] == "fresh"


def test_metrics_tell_of_it() -> None:
    with Emptied() as world:
        text = world.client.get("/metrics").text
        assert "alert_history_publishing_refresh_held 1.0" in text
        assert 'alert_refresh_held{kind="targets"} 1.0' in text
        world.decide("approve", f"?proposal={world.held['proposal']}")
        assert 'alert_refresh_held{kind="targets"} 0.0' in world.client.get("/metrics").text


def test_approve_removes_them_at_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "alert_refresh")
    with Emptied() as world:
        proposal = world.held["proposal"]
        before = world.get("/status").json["generation"]
        response = world.decide("approve", f"?proposal={proposal}")
        assert response.status_code == 200
        assert response.json == {
            "message": "Removal approved",
            "request_id": response.headers["X-Request-ID"],
            "proposal": proposal,
            "count": 8,
            "names": [f"t{number}" for number in range(2, 10)],
            "generation": before + 1,
        }
        assert world.listed.keys() == {"t0", "t1"} and not world.held
        status = world.get("/status").json
        assert (status["targets_discovered"], status["targets_invalid"], status["stale_targets"]) == (2, 0, 0)
        assert world.decide("approve", f"?proposal={proposal}").status_code == 409
    audits = [one for one in caplog.records if one.name == "alert_refresh.audit" and "held" in one.getMessage()]
    fields = [(vars(one)["action"], vars(one)["result"], vars(one)["who"]) for one in audits]
    assert fields == [("targets.approve", "approved", "admin"), ("targets.approve", "proposal_not_held", "admin")]


def test_reject_keeps_them_and_says_so() -> None:
    with Emptied() as world:
        response = world.decide("reject", f"?proposal={world.held['proposal']}")
        assert (response.status_code, response.json["message"]) == (200, "Removal rejected")
        assert world.held["rejected"] and len(world.listed) == 10
        assert world.decide("approve", f"?proposal={world.held['proposal']}").status_code == 200
        assert len(world.listed) == 2


@pytest.mark.parametrize("action", ["approve", "reject"])
def test_another_proposal_is_a_conflict_that_shows_what_is_held(action: str) -> None:
    with Emptied() as world:
        response = world.decide(action, "?proposal=0123456789abcdef")
        assert (response.status_code, response.json["error"]) == (409, "proposal_not_held")
        assert response.json["held"] == world.held and response.json["request_id"]


@pytest.mark.parametrize("action", ["approve", "reject"])
def test_refusals_come_in_the_order_of_every_post(action: str) -> None:
    with Emptied() as world:
        query = f"?proposal={world.held['proposal']}"
        assert world.decide(action, query, headers={}).status_code == 401
        assert world.decide(action, query, headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert world.decide(action, query, data=b"x").json["message"] == "Request body must be empty"
        assert world.decide(action).json["message"] == "Query parameter proposal is required"
        assert world.decide(action, f"{query}&more=1").status_code == 400
        world.worker.stop()
        stopped = world.decide(action, query)
        assert (stopped.status_code, stopped.json["error"]) == (503, "manager_not_started")
        assert int(stopped.headers["Retry-After"]) >= 1
        assert len(world.worker.get_status().snapshot.items) == 10  # type: ignore[union-attr]


def test_a_hold_is_one_warning_with_the_names(caplog: pytest.LogCaptureFixture) -> None:
    from alert_refresh.observe.outcomes import log_outcome, log_publication

    with Emptied() as world:
        world.worker.listen(log_outcome)
        world.worker.listen_publish(log_publication)
        assert world.worker.get_status().last is not None
        log_outcome(world.worker.get_status().last)  # type: ignore[arg-type]
        [said] = [one for one in caplog.records if "is held" in one.getMessage()]
        assert said.getMessage() == "Removal of 8 of 10 targets is held until it is confirmed or approved"
        assert vars(said)["held"] == [f"t{number}" for number in range(2, 10)] and vars(said)["alert"]
        assert vars(said)["proposal"] == world.held["proposal"]
        world.decide("approve", f"?proposal={world.held['proposal']}")
        assert caplog.messages[-1] == "Held removal was approved"


def test_a_rejection_is_on_disk_before_it_is_answered(tmp_path: Path) -> None:
    environ = {"ALERT_REFRESH_ADMIN_TOKEN": ADMIN, "ALERT_REFRESH_STATE_DIR": str(tmp_path)}
    with Emptied(environ) as world:
        proposal = world.held["proposal"]
        assert world.decide("reject", f"?proposal={proposal}").status_code == 200
        kept = peek("targets", TargetCodec(cast("Any", world.source)), Settings(folder=tmp_path))
        assert kept.hold is not None and kept.hold.rejected and kept.hold.proposal == proposal


def test_a_decision_that_cannot_be_kept_is_answered_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = {"ALERT_REFRESH_ADMIN_TOKEN": ADMIN, "ALERT_REFRESH_STATE_DIR": str(tmp_path / "none")}
    with Emptied(environ) as world:
        assert world.daemon.keeper is not None
        monkeypatch.setattr(world.daemon.keeper, "keep_now", lambda *_: False)
        assert world.decide("reject", f"?proposal={world.held['proposal']}").status_code == 200
    assert "A decision about held removals is not on disk yet" in caplog.messages
