"""What docs/feed.md says is true."""

from __future__ import annotations

import json
import re
from pathlib import Path

from alert_refresh.observe import feed
from alert_refresh.web.feed import follow, refreshes
from alert_refresh.web.feed.rows import RESULTS
from tests.web.feed.test_events import Stream
from tests.web.world import World, target, targets

PAGE = (Path(__file__).parents[3] / "docs/feed.md").read_text()


def rows(head: str) -> dict[str, list[str]]:
    """The table that begins so: the first cell of each row, and the others."""
    lines = PAGE[PAGE.index(head) :].split("\n\n")[0].splitlines()[2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {first.strip("`"): others for first, *others in cells}


def test_the_table_of_results_is_complete_and_in_order() -> None:
    assert sorted(rows("| result |")) == sorted(RESULTS)


def test_the_table_of_events_names_fields_that_the_events_have() -> None:
    table = {name: set(re.findall(r"`(\w+)`", cells[1])) for name, cells in rows("| event |").items()}
    with World().start() as world:
        stream = Stream(world)
        sent = stream.read() + stream.read()
        served = targets(target("other"), digest="other")
        assert world.worker.publish(served, world.worker.current())
        sent += stream.read()
        assert world.post("?wait=5s").status_code == 200
        sent += stream.read()
        stream.close()
    found = {name: set(data) for name, data in sent if name}
    assert set(found) == set(table)
    for name, fields in table.items():
        assert fields <= found[name], name


def test_the_sample_has_the_fields_of_a_real_stream() -> None:
    sample = PAGE[PAGE.index("retry: 2000") : PAGE.index("```\n\n[`config/examples/follow.sh`]")]
    told = [json.loads(line.removeprefix("data: ")) for line in sample.splitlines() if line.startswith("data: ")]
    with World().start() as world:
        follower = world.daemon.feed.follow()
        assert world.post("?wait=5s").status_code == 200
        real = [json.loads(event.text.split(b"data: ")[1]) for event in follower.take()]
    assert list(told[0]) == ["generations", "missed"]
    assert list(told[1]) == list(real[-1])


def test_the_numbers_are_those_of_the_program() -> None:
    for number in (f"{feed.MOST_EVENTS:,}", f"{feed.MAX_NAMES:,}", f"{feed.MOST_BYTES // 1024 // 1024} MiB"):
        assert number in PAGE
    assert f"at most `{follow.WAIT_LIMIT:g}s`" in PAGE
    assert f"`?limit={refreshes.LIMIT}` (at most\n{refreshes.MOST:,})" in PAGE
