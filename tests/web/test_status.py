"""The part of a status that every kind has."""

from __future__ import annotations

from alert_refresh.engine import RefreshSettings
from tests.web.world import World


def test_a_due_time_is_not_shown_as_the_second_before_it_since_clocks_are_read_one_after_the_other() -> None:
    with World(settings=RefreshSettings(warmup=29.95)).start() as world:
        assert world.get("/status").json["next_refresh"] == "2023-11-14T22:13:50Z"
