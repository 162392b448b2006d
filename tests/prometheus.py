"""A real Prometheus for tests: Debian's binary under our own configuration and alerts, and what it answers."""

from __future__ import annotations

import atexit
import functools
import json
import re
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest
import yaml

from tests.process.program import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
CONFIG = ROOT / "config" / "prometheus"
RULES = CONFIG / "alert-refresh.rules.yml"

SHORTER = 200
"""Times of the alerts are divided by this: a quarter of an hour is 4.5 seconds."""
SLOW = 2.0
"""Seconds instead of half a minute, which is slow: a machine that is busy delays a quick refresh by less."""
TICK = "500ms"
EVERY = 0.1
"""Seconds between two questions to Prometheus."""
PATIENCE = 90.0
"""Seconds after which an alert will not come any more. Prometheus alone takes up to 5 s to begin with a new target."""
SECONDS = {"s": 1, "m": 60, "h": 3600}


def binary(name: str) -> str | None:
    """Where a program of Debian's package is, if anywhere."""
    unpacked = ROOT / ".cache/promtool/usr/bin" / name
    return str(unpacked) if unpacked.exists() else shutil.which(name)


def shortened(rules: str) -> str:
    """The same alerts with every duration, and every limit in seconds, made shorter."""
    text = re.sub(
        r"(?<=\[)(\d+)([smh])(?=\])|(?<=for: )(\d+)([smh])",
        lambda found: _milliseconds(found[1] or found[3], found[2] or found[4]),
        rules,
    )
    text = re.sub(r"(?<=, )900(?=\))", lambda found: f"{int(found[0]) / SHORTER:g}", text)
    return re.sub(r"(?<=> )30$", f"{SLOW:g}", text, flags=re.MULTILINE)


def _milliseconds(number: str, unit: str) -> str:
    return f"{int(number) * SECONDS[unit] * 1000 // SHORTER}ms"


class Prometheus:
    """A server that scrapes the configured ports, all under the job of our configuration. `shorten` shortens alerts."""

    def __init__(self, folder: Path, *, shorten: bool) -> None:
        program = binary("prometheus")
        assert program is not None
        self._targets = folder / "targets.json"
        self._scraped: list[str] = []
        self._write()
        rules = RULES.read_text()
        (folder / RULES.name).write_text(shortened(rules) if shorten else rules)
        config = yaml.safe_load((CONFIG / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": TICK, "scrape_timeout": TICK, "evaluation_interval": TICK}
        (scrape,) = config["scrape_configs"]
        del scrape["static_configs"]
        scrape["file_sd_configs"] = [{"files": [str(self._targets)], "refresh_interval": "1s"}]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        self._log = folder / "log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [
                    program,
                    f"--config.file={folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={folder / 'data'}",
                    "--web.listen-address=127.0.0.1:0",
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        assert eventually(lambda: "ready to receive web requests" in self._log.read_text()), self._log.read_text()
        listening = re.search(r'msg="Listening on" address=(\S+)', self._log.read_text())
        assert listening is not None
        self._url = f"http://{listening[1]}/api/v1"

    @contextmanager
    def scraping(self, port: int) -> Iterator[Scraped]:
        """Scrape a program on this port from now on, until it is left."""
        address = f"127.0.0.1:{port}"
        self._scraped.append(address)
        self._write()
        scraped = Scraped(self, address)
        try:
            scraped.waits_for("up{%s} == 1")
            yield scraped
        finally:
            self._scraped.remove(address)
            self._write()

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The vector of an expression now."""
        with urlopen(f"{self._url}/query?{urlencode({'query': expression})}", timeout=PATIENCE) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
        return found

    def alerts(self) -> list[dict[str, Any]]:
        """All alerts that are pending or fire now, with their labels, annotations and state."""
        with urlopen(f"{self._url}/alerts", timeout=PATIENCE) as answer:
            found: list[dict[str, Any]] = json.load(answer)["data"]["alerts"]
        return found

    def end(self) -> None:
        self.process.terminate()
        self.process.wait()

    def _write(self) -> None:
        temporary = self._targets.with_suffix(".tmp")
        temporary.write_text(json.dumps([{"targets": self._scraped}]))
        temporary.rename(self._targets)


class Scraped:
    """One program as Prometheus sees it."""

    def __init__(self, prometheus: Prometheus, address: str) -> None:
        self._prometheus = prometheus
        self._address = address

    def firing(self, alert: str, **labels: str) -> list[dict[str, Any]]:
        """The alerts of that name with these labels that fire now."""
        wanted = {"alertname": alert, "instance": self._address} | labels
        return [
            one
            for one in self._prometheus.alerts()
            if one["state"] == "firing" and wanted.items() <= one["labels"].items()
        ]

    def fires(self, alert: str, **labels: str) -> dict[str, Any]:
        """Wait for an alert; returns it."""
        assert eventually(lambda: bool(self.firing(alert, **labels)), PATIENCE, EVERY), f"{alert} does not fire"
        return next(iter(self.firing(alert, **labels)), {})

    def resolves(self, alert: str, **labels: str) -> None:
        """Wait for an alert to be over."""
        assert eventually(lambda: not self.firing(alert, **labels), PATIENCE, EVERY), f"{alert} goes on"

    def query(self, template: str) -> list[dict[str, Any]]:
        """The vector of an expression in which `%s` is replaced by the label of this program."""
        return self._prometheus.query(template.replace("%s", f'instance="{self._address}"'))

    def waits_for(self, template: str) -> None:
        """Wait for an expression to have a value."""
        assert eventually(lambda: bool(self.query(template)), PATIENCE, EVERY), template

    def ever(self) -> set[str]:
        """The names of all alerts of this program that were pending or fired at any time.

        A scrape that took too long on a busy machine makes one pending that says nothing of the program.
        """
        found = self.query("count_over_time(ALERTS{%s}[1h])")
        late = {"alertname": "AlertRefreshDown", "alertstate": "pending"}
        return {one["metric"]["alertname"] for one in found if not late.items() <= one["metric"].items()}


@functools.cache
def shared(*, shorten: bool = True) -> Prometheus:
    """The server of this test process, started when first asked for and ended at its end; skips where there is none."""
    if binary("prometheus") is None:
        pytest.skip("Prometheus is not here")
    folder = Path(tempfile.mkdtemp(prefix="ar-prometheus-"))
    server = Prometheus(folder, shorten=shorten)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    atexit.register(server.end)
    return server
