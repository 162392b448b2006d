"""What `check` and `plan` see: rendered, checked, compared with the file, and nothing written or reloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.alertmanager.delivered import delivered
from alert_refresh.alertmanager.dry import DryRun, check, difference
from alert_refresh.engine import Deadline, Permanent, Request, Snapshot, SystemClock, Trigger
from tests.alertmanager.amtool import amtool
from tests.alertmanager.examples import PLAIN, rule, target
from tests.alertmanager.server import Server, closed_port
from tests.alertmanager.world import Serving, World, settings
from tests.fakes import FakeSink, FakeSource

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "canary-90be"


def dry(folder: Path, *urls: str, targets: Any = None, rules: Any = None) -> DryRun:
    workers: Any = {"targets": targets or Serving(target("team-a", url=f"https://hooks.example.com/{CANARY}"))}
    workers["rules"] = rules or Serving(rule("a", targets=["team-a"]))
    source = DryRun(settings(folder, *urls), workers, SystemClock())
    source.amtool.path = amtool()
    return source


def run(source: DryRun) -> Snapshot[Any]:
    return source.refresh(None, Request(Trigger.MANUAL), Deadline(SystemClock(), 20))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "template.yml").write_text(PLAIN)
    return tmp_path


def test_s8_the_difference_is_masked_and_nothing_is_written(folder: Path) -> None:
    source = dry(folder)
    assert difference(source) == []
    snapshot = run(source)
    lines = difference(source)
    assert list(snapshot.items) == ["team-a"] and '+- name: "alert-refresh/team-a"' in lines
    assert lines[:2] == ["--- now", "+++ after"] and CANARY not in "\n".join(lines)
    assert sorted(one.name for one in folder.iterdir()) == ["template.yml"]
    assert source.watches(FakeSink()) == ()


def test_s8_nothing_differs_after_a_refresh(folder: Path) -> None:
    world = World(folder, targets=(target("team-a", url=f"https://hooks.example.com/{CANARY}"),))
    world.rules.serve(rule("a", targets=["team-a"]))
    world.good()
    source = dry(folder)
    run(source)
    assert difference(source) == []


def test_s8_where_only_a_credential_differs_it_says_so(folder: Path) -> None:
    world = World(folder, targets=(target("team-a", url="https://hooks.example.com/other"),))
    world.rules.serve(rule("a", targets=["team-a"]))
    world.good()
    source = dry(folder)
    run(source)
    lines = difference(source)
    assert lines and CANARY not in "\n".join(lines) and "other" not in "\n".join(lines)


def test_a_configuration_that_alertmanager_would_refuse_is_a_fault(folder: Path) -> None:
    (folder / "template.yml").write_text(PLAIN + "global: {smtp_smarthost: nonsense}\n")
    with pytest.raises(Permanent, match="would refuse"):
        run(dry(folder))


def test_nothing_is_rendered_of_what_cannot_be_read(folder: Path) -> None:
    targets = Serving()
    targets.status = type(targets.status)()
    source = dry(folder, targets=targets)
    with pytest.raises(Permanent, match="nothing to render"):
        run(source)


def test_what_is_undeliverable_is_rejected(folder: Path) -> None:
    source = dry(folder, targets=Serving(target("bad", headers={"X-Team": "a"})))
    snapshot = run(source)
    assert [dict(one.origin) for one in snapshot.rejected] == [{"target": "bad"}]


def test_check_tells_which_alertmanager_does_not_answer(folder: Path) -> None:
    class Other(Server):
        def handle_one(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
            return 404, b""

    away = closed_port()
    with Other() as other:
        snapshot = run(dry(folder, other.url, f"http://127.0.0.1:{away}"))
    found = check({"alertmanager": snapshot})
    assert found["error_type"] == "network" and f"127.0.0.1:{away}" in found["error"]
    assert ["something else" in (one["error"] or "") for one in found["instances"]] == [True, False]
    assert delivered(snapshot).receivers == 1


def test_check_without_an_error_names_none(folder: Path) -> None:
    found = check({"alertmanager": run(dry(folder))})
    assert found == {"instances": [], "warnings": []}
    assert check({"alertmanager": None}) == {"instances": [], "warnings": []}


def test_another_source_has_no_difference() -> None:
    assert difference(FakeSource()) == []
