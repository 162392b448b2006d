"""From a change of a Secret to an Alertmanager that runs it, with a real one. By itself: `python -m bench.delivery`."""

from __future__ import annotations

import json
import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import msgspec

from alert_refresh import alertmanager, targets
from alert_refresh.alertmanager.inputs import Mode
from alert_refresh.alertmanager.source import AlertmanagerSource
from alert_refresh.credential import Credential
from alert_refresh.engine import RefreshSettings, Snapshot, SystemClock, Worker
from bench.alertmanager import TEMPLATE
from bench.alertmanager import targets as make_targets
from bench.table import Table, median, seconds, spread
from tests.alertmanager.amtool import amtool
from tests.alertmanager.server import Alertmanager, Webhook
from tests.fakes import FakeSource
from tests.process.program import Program, eventually
from tests.targets.folder.folders import LABELS, write

ROUNDS = 15
PATIENCE = 60.0
TEAM = """
route: {receiver: nobody, group_by: ['...'], group_wait: 0s, group_interval: 1s}
receivers: [{name: nobody}]
"""


class Delivering:
    """Two workers as in the daemon: of targets, which publishes as a watch does, and of Alertmanager."""

    def __init__(self, server: Alertmanager, count: int) -> None:
        clock = SystemClock()
        template = server.folder / "template.yml"
        template.write_bytes(TEMPLATE)
        settings = alertmanager.Settings(
            RefreshSettings(), template, server.file, (server.url,), Mode.FILTERS, None, None, min_reload_interval=0.0
        )
        self.items = make_targets(count)
        self.targets: Worker[Any] = Worker(
            targets.KIND, FakeSource(lambda _: self.snapshot()), RefreshSettings(), clock=clock
        )
        self.source = AlertmanagerSource(settings, {"targets": self.targets}, clock)
        self.worker: Worker[Any] = Worker(alertmanager.KIND, self.source, settings.refresh, clock=clock)
        self.delivered = threading.Event()
        self.worker.listen(self._ended)
        self.took = 0.0

    def snapshot(self) -> Snapshot[Any]:
        return Snapshot(self.items, digest=str(time.monotonic_ns()))

    def _ended(self, outcome: Any) -> None:
        snapshot = self.worker.get_status().snapshot
        if snapshot is not None and "propagation_seconds" in snapshot.stats:
            self.took = snapshot.stats["propagation_seconds"]
            self.delivered.set()

    def change(self, number: int) -> tuple[float, float]:
        """Publish one changed target; the seconds until it is verified, and those of the reload among them."""
        self.delivered.clear()
        one = self.items["team-1"]
        url = Credential(f"https://hooks.example.com/services/{number}")
        self.items = self.items | {"team-1": msgspec.structs.replace(one, url=url, digest=b"")}
        self.targets.publish(self.snapshot(), self.targets.current(), time.monotonic())
        assert self.delivered.wait(PATIENCE), self.worker.get_status().last
        return self.took, self.source.delivery.reload_seconds


def delivering() -> Table:
    """From the event seen to the configuration verified, without and with the time of Alertmanager's reload."""
    table = Table("From the event of a Secret seen to Alertmanager's configuration verified, less the reload")
    for count, most in ((50, 0.06), (2000, 0.2)):
        with tempfile.TemporaryDirectory() as folder, Alertmanager(Path(folder)) as server:
            one = Delivering(server, count)
            one.targets.start()
            one.worker.start()
            assert one.delivered.wait(PATIENCE)
            samples = []
            for number in range(ROUNDS):
                time.sleep(1.1)  # a rest, after which the next publication is taken over at once
                samples.append(one.change(number))
            one.worker.stop()
            one.targets.stop()
        own, reloads = [whole - reload for whole, reload in samples], [reload for _, reload in samples]
        shown = f"{spread(own)}; the reload {seconds(median(reloads))}"
        table.promise(f"{count:,} targets with a route each", shown, seconds(most), kept=median(own) < most)
    return table


def end_to_end() -> Table:
    """From a Secret written to an alert at its new address: the program, a folder, Alertmanager and a webhook."""
    table = Table("From a Secret applied to an alert delivered to its new address")
    took = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Alertmanager(Path(folder)) as server,
        Webhook() as webhook,
    ):
        here = Path(folder)
        (here / "targets").mkdir()
        (here / "template.yml").write_text(TEAM)
        environ = {
            "TARGET_DIRECTORY": str(here / "targets"),
            "ALERTMANAGER_CONFIG_TEMPLATE": str(here / "template.yml"),
            "ALERTMANAGER_CONFIG_FILE": str(server.file),
            "ALERTMANAGER_URL": server.url,
            "PATH": f"{Path(amtool()).parent}:{os.environ['PATH']}",
        }
        _apply(here, f"{webhook.url}/first")
        with Program(env=environ, bare=True):
            _send_until(server, webhook, "/first")
            for number in range(ROUNDS):
                time.sleep(1.1)
                began = time.monotonic()
                _apply(here, f"{webhook.url}/moved-{number}")
                _send_until(server, webhook, f"/moved-{number}")
                took.append(time.monotonic() - began)
    shown = f"{spread(took)}, of which up to 50 ms until the next alert is sent"
    table.promise("one target of one", shown, "1 s in the median", kept=median(took) < 1.0)
    return table


def _apply(folder: Path, url: str) -> None:
    config = {"name": "team-a", "type": "webhook", "format": "webhook", "url": url, "filter_config": {}}
    manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "team-a", "labels": LABELS}}
    write(folder / "targets" / "team-a.yaml", manifest | {"stringData": {"config": json.dumps(config)}})


def _send_until(server: Alertmanager, webhook: Webhook, path: str) -> None:
    """Send alerts until one arrives at this path."""
    until = time.monotonic() + PATIENCE
    while not eventually(lambda: path in webhook.paths(), 0.05):
        assert time.monotonic() < until
        server.send(alertname=f"a{time.monotonic_ns()}")


if __name__ == "__main__":
    print(delivering())
    print(end_to_end())
