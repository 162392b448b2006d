"""An Alertmanager that refuses every configuration is told by itself, and keeps nothing from the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from alert_refresh.alertmanager.inputs import Capabilities
from alert_refresh.engine import Permanent
from tests.alertmanager.examples import PLAIN, rule, target
from tests.alertmanager.server import CONFIG, Alertmanager, Between
from tests.alertmanager.world import World

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GOOD = [f"team-{number}" for number in range(20)]
RULES = tuple(rule(f"rule-{name}", 'team="ops"', targets=[name]) for name in [*GOOD, "new", "broken"])
SAYS = "it refuses every configuration; can it read the file?"


class Pair:
    """Two Alertmanagers: `well` reads the file, `ill` one of its own, which is not there any more."""

    def __init__(self, well: Between, ill: Between) -> None:
        self.well = well
        self.ill = ill

    def world(self, *, tool: bool) -> World:
        return World(
            self.well.alertmanager.folder,
            self.ill.url,
            self.well.url,
            targets=tuple(map(target, GOOD)),
            rules=RULES,
            tool=tool,
        )

    def mend(self) -> None:
        """Let the ill one read the file of the other."""
        self.ill.alertmanager.file.symlink_to(self.well.alertmanager.file)


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Alertmanager, Alertmanager]]:
    folders = [tmp_path_factory.mktemp(name) for name in ("well", "ill")]
    with Alertmanager(folders[0]) as well, Alertmanager(folders[1]) as ill:
        yield well, ill


@pytest.fixture
def pair(servers: tuple[Alertmanager, Alertmanager]) -> Iterator[Pair]:
    for one in servers:
        one.reset()
    servers[1].file.unlink()
    with Between(servers[0]) as well, Between(servers[1]) as ill:
        yield Pair(well, ill)


def errors(world: World) -> list[str | None]:
    return [None if one.error is None else str(one.error) for one in world.known.instances]


@pytest.mark.parametrize("tool", [True, False])
def test_the_others_get_verify_and_keep_the_new_configuration(pair: Pair, tool: bool) -> None:
    world = pair.world(tool=tool)
    world.refresh()
    assert isinstance(world.error, Permanent) and SAYS in str(world.error)
    assert errors(world) == [SAYS, None] and world.in_sync == [False, True]
    world.targets.serve(*map(target, GOOD), target("new"))
    world.refresh()
    assert errors(world) == [SAYS, None] and world.in_sync == [False, True]
    assert "alert-refresh/new" in pair.well.alertmanager.receivers()
    assert world.known.undeliverable == {} and world.known.undeliverable_rules == {}
    assert "alert-refresh/new" in world.file.read_text()
    assert pair.well.alertmanager.metric("alertmanager_config_last_reload_successful") == "1"


@pytest.mark.parametrize("tool", [True, False])
def test_real_culprits_are_still_found_by_the_others(pair: Pair, tool: bool) -> None:
    world = pair.world(tool=tool)
    world.refresh()
    world.source.instances.capabilities = lambda *_: Capabilities(http_headers=True)  # type: ignore[method-assign]
    world.targets.serve(*map(target, GOOD), target("new"), target("broken", headers={"X-Team": "a"}))
    world.refresh()
    assert list(world.known.undeliverable) == ["broken"] and world.known.undeliverable_rules == {}
    assert errors(world) == [SAYS, None] and world.in_sync == [False, True]
    assert "alert-refresh/new" in pair.well.alertmanager.receivers()


@pytest.mark.parametrize("tool", [True, False])
def test_one_culprit_and_one_that_refuses_everything_at_once(pair: Pair, tool: bool) -> None:
    world = pair.world(tool=tool)
    world.source.instances.capabilities = lambda *_: Capabilities(http_headers=True)  # type: ignore[method-assign]
    world.targets.serve(*map(target, GOOD), target("broken", headers={"X-Team": "a"}))
    world.refresh()
    assert list(world.known.undeliverable) == ["broken"]
    assert errors(world) == [SAYS, None] and world.in_sync == [False, True]


def test_while_it_is_ill_the_others_are_not_told_to_load_anything_again(pair: Pair) -> None:
    world = pair.world(tool=False)
    world.refresh()
    before = pair.well.count("POST", "/-/reload"), pair.ill.count("POST", "/-/reload")
    world.refresh()
    after = pair.well.count("POST", "/-/reload"), pair.ill.count("POST", "/-/reload")
    assert after == (before[0], before[1] + 1), "it is asked whether it can load the file now"


def test_once_it_can_read_the_file_it_is_in_sync(pair: Pair) -> None:
    world = pair.world(tool=False)
    world.refresh()
    assert errors(world) == [SAYS, None]
    pair.mend()
    world.good()
    assert world.in_sync == [True, True] and errors(world) == [None, None]


def test_what_the_others_run_is_what_comes_back_though_not_all_have_verified_it(pair: Pair) -> None:
    pair.mend()
    world = pair.world(tool=False)
    world.good()
    pair.ill.alertmanager.file.unlink()
    world.targets.serve(*map(target, GOOD), target("new"))
    world.refresh()
    assert world.in_sync == [False, True]
    ours = world.file.read_bytes()
    world.template.write_text(PLAIN + "global: {smtp_smarthost: nonsense}\n")
    world.refresh()
    assert isinstance(world.error, Permanent) and world.file.read_bytes() == ours and b"alert-refresh/new" in ours


@pytest.mark.parametrize("there", [True, False])
def test_of_two_that_refuse_a_bad_template_none_is_blamed(pair: Pair, there: bool) -> None:
    pair.mend()
    world = pair.world(tool=False)
    world.template.write_text(CONFIG + "global: {smtp_smarthost: nonsense}\n")
    if not there:
        world.file.unlink()
    world.refresh()
    assert isinstance(world.error, Permanent) and "refuses the template" in str(world.error)
    assert SAYS not in errors(world)
    assert world.file.exists() == there


def test_without_a_file_before_the_empty_configuration_tells_them_apart(pair: Pair) -> None:
    world = pair.world(tool=False)
    world.file.unlink()
    world.refresh()
    assert errors(world) == [SAYS, None] and world.in_sync == [False, True]


def test_one_alone_that_refuses_everything_leaves_the_file_as_it_was(pair: Pair) -> None:
    well = pair.well.alertmanager
    world = World(well.folder, pair.ill.url, targets=(target("team-a"),), rules=RULES, tool=False)
    world.refresh()
    assert isinstance(world.error, Permanent) and "can it read the file?" in str(world.error)
    assert world.file.read_text() == CONFIG and world.in_sync == [False]


def trial_marks(folder: Path) -> list[str]:
    return [one.name for one in folder.iterdir() if one.name.endswith(".trial")]


def test_nothing_is_left_beside_the_file(pair: Pair) -> None:
    world = pair.world(tool=False)
    world.refresh()
    assert trial_marks(world.folder) == []
