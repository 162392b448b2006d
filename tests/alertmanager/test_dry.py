"""What `check` and `plan` see: rendered, checked, compared with the file, and nothing written or reloaded."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.alertmanager.delivered import delivered
from alert_refresh.alertmanager.dry import DryRun, check, difference
from alert_refresh.engine import Deadline, Permanent, Request, Snapshot, SystemClock, Trigger
from tests.alertmanager.amtool import amtool
from tests.alertmanager.examples import PLAIN, rule, target
from tests.alertmanager.running.test_instances import METRICS_28, STATUS_25, STATUS_28, Recorded, metrics, status
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
    return source.refresh(None, Request(Trigger.MANUAL), Deadline(SystemClock(), 60))


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


def test_a_template_that_alertmanager_would_refuse_is_a_fault_and_nothing_would_be_written(folder: Path) -> None:
    (folder / "template.yml").write_text(PLAIN + "global: {smtp_smarthost: nonsense}\n")
    source = dry(folder)
    with pytest.raises(Permanent, match="would refuse the template") as raised:
        run(source)
    assert raised.value.error_type == "validate" and source.work is None and difference(source) == []


def kawi() -> tuple[Serving, Serving]:
    """Targets, and rules of which amtool 0.25 refuses two: it does not know the script."""
    rules = [rule("a", "x=1", targets=["team-a"])]
    rules += [rule(name, r'instance=~"\\p{Kawi}+"', f"x={name}", targets=["team-a"]) for name in ("bad", "worse")]
    rules += [rule("z", "x=2", targets=["team-b"])]
    return Serving(target("team-a"), target("team-b"), target("odd", headers={"X": "a"})), Serving(*rules)


def test_what_alertmanager_would_refuse_is_left_out_and_named_as_by_a_refresh(folder: Path) -> None:
    targets, rules = kawi()
    source = dry(folder, targets=targets, rules=rules)
    snapshot = run(source)
    assert sorted(str(dict(one.origin)) for one in snapshot.rejected) == [
        "{'rule': 'bad'}", "{'rule': 'worse'}", "{'target': 'odd'}",
    ]  # fmt: skip
    lines = "\n".join(difference(source))
    assert "Kawi" not in lines and "alert-refresh/team-b" in lines
    assert check({"alertmanager": snapshot})["unchecked"] == []
    world = World(folder)
    world.targets, world.rules = targets, rules
    world.restart()
    world.good()
    assert source.work is not None and source.work.rendering.text == world.file.read_bytes()


def test_where_the_folder_cannot_be_written_it_is_checked_but_for_the_templates(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "no")

    monkeypatch.setattr("alert_refresh.files.write.write_new", refuse)
    (folder / "template.yml").write_text(PLAIN + "templates: ['*', '*.tmpl']\n")
    (folder / "bad.tmpl").write_text("{{ define")
    targets, rules = kawi()
    source = dry(folder, targets=targets, rules=rules)
    snapshot = run(source)
    [said] = check({"alertmanager": snapshot})["unchecked"]
    assert "files under templates are not checked" in said
    assert {dict(one.origin).get("rule") for one in snapshot.rejected} == {"bad", "worse", None}
    assert source.work is not None and b"templates:" in source.work.rendering.text


def test_without_the_tool_or_with_another_version_it_says_what_is_not_checked(folder: Path) -> None:
    targets, rules = kawi()
    source = dry(folder, targets=targets, rules=rules)
    source.amtool.path = None
    snapshot = run(source)
    assert check({"alertmanager": snapshot})["unchecked"] == ["not checked: amtool is not in the PATH"]
    answers = {"metrics": (200, metrics("0.28.1+ds", METRICS_28)), "status": (200, status("0.28.1+ds", STATUS_28))}
    with Recorded(**answers) as server:
        snapshot = run(dry(folder, server.url, targets=targets, rules=rules))
    [said] = check({"alertmanager": snapshot})["unchecked"]
    assert said == "not checked: amtool is of version 0.25.0, and Alertmanager of 0.28.1+ds"
    assert snapshot.rejected == (), "which that one may know"


def test_a_tool_that_refuses_what_alertmanager_runs_is_not_believed(folder: Path) -> None:
    text = PLAIN.encode() + b"templates: ['*.tmpl']\n"
    (folder / "alertmanager.yml").write_bytes(text)
    (folder / "bad.tmpl").write_text("{{ define")
    answers = {"metrics": (200, metrics("0.25.0", content=text)), "status": (200, status("0.25.0", STATUS_25))}
    with Recorded(**answers) as server:
        snapshot = run(dry(folder, server.url))
    [said] = check({"alertmanager": snapshot})["unchecked"]
    assert "refuses also what Alertmanager runs" in said and list(snapshot.items) == ["team-a"]


def test_nothing_is_rendered_of_what_cannot_be_read(folder: Path) -> None:
    targets = Serving()
    targets.status = type(targets.status)()
    source = dry(folder, targets=targets)
    with pytest.raises(Permanent, match="nothing to render") as caught:
        run(source)
    assert caught.value.error_type == "config", "unknown would be a fault of this program"


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
    assert found == {"instances": [], "warnings": [], "unchecked": []}
    assert check({"alertmanager": None}) == {"instances": [], "warnings": [], "unchecked": []}


def test_another_source_has_no_difference() -> None:
    assert difference(FakeSource()) == []
