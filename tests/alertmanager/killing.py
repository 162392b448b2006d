"""Processes that deliver to an Alertmanager until they are killed.

`python -m tests.alertmanager.killing FOLDER URL TOOL`: for each line of standard input, a number, one is forked that
delivers random targets and rules from that seed on. Its number is printed once it has delivered the first, and `killed`
when it has ended. TOOL is `amtool`, or `none`: then each second delivery has a rule that only Alertmanager refuses.
"""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

from alert_refresh.alertmanager.inputs import Mode
from tests.alertmanager.breakages import BREAKAGES, ONLY_ALERTMANAGER
from tests.alertmanager.examples import rule, target
from tests.alertmanager.world import World

BROKEN = [one.broken for one in BREAKAGES if hasattr(one.broken, "id")]
"""Rules of which some are refused by our model, and some by Alertmanager only."""
REFUSED = [one.broken for one in ONLY_ALERTMANAGER if one.why.startswith("a script")]


def deliver(folder: Path, url: str, tool: bool, seed: int) -> None:
    """Deliver for ever."""
    chance = random.Random(seed)
    world = World(folder, url, routes=Mode.RULES, tool=tool)
    world.source.file.remove_leftovers()
    began = False
    while True:
        names = ["team-a", *(f"team-{number}" for number in range(chance.randrange(1, 30)))]
        world.targets.serve(*(target(name, url=f"https://hooks.example.com/{chance.random()}") for name in names))
        rules = [rule(f"r-{name}", f'team="{name}"', targets=[name, "team-a"]) for name in names]
        if chance.random() < 0.5:
            rules.append(chance.choice(BROKEN if tool else REFUSED))  # type: ignore[arg-type]
        world.rules.serve(*rules)
        world.refresh()
        if not began:
            began = True
            print(os.getpid(), flush=True)  # noqa: T201


def main(folder: Path, url: str, tool: bool) -> None:
    """Fork one after the other."""
    for line in sys.stdin:
        if (child := os.fork()) == 0:
            deliver(folder, url, tool, int(line))
        os.waitpid(child, 0)
        print("killed", flush=True)  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "amtool")
