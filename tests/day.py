"""A simulated day of the series that the alerts use, and the alerts that result from it.

In the middle of the day the program is started again. Now and then an attempt fails and its retry succeeds.
"""

from __future__ import annotations

import functools
import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.prometheus import RULES, binary

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from prometheus_client.samples import Sample

MINUTES = 1440
RESTART = 725
USUAL = {"targets": 0.3, "rules": 0.008, "views": 100.0, "alertmanager": 0.03}
"""Seconds that an attempt of each kind takes."""
EVERY = 7
"""One cycle of so many needs a retry."""


@functools.cache
def names() -> frozenset[str]:
    """The metrics that the alerts use."""
    rules = [rule["expr"] for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    return frozenset(re.findall(r"\b(?:alert_\w+|process_\w+|up)\b", " ".join(rules)))


def of(text: str, incident: str | None = None) -> dict[str, list[float]]:
    """The value of each series in each minute of a day. The kind `incident` stops being refreshed at the restart."""
    samples = [one for family in text_string_to_metric_families(text) for one in family.samples if one.name in names()]
    intervals = {s.labels["kind"]: s.value for s in samples if s.name == "alert_refresh_interval_seconds"}
    assert set(intervals) == set(USUAL)
    series = {_name(one): _values(one, intervals, incident) for one in samples}
    return series | {'up{job="alert-refresh"}': [1.0] * MINUTES}


def _name(sample: Sample) -> str:
    return sample.name + "{" + ",".join(f'{name}="{value}"' for name, value in sample.labels.items()) + "}"


def _values(sample: Sample, intervals: dict[str, float], incident: str | None) -> list[float]:
    if sample.name not in (*LIVELY, "process_start_time_seconds"):
        return [sample.value] * MINUTES
    return [_value(sample, minute, intervals, incident) for minute in range(MINUTES)]


def _value(sample: Sample, minute: int, intervals: dict[str, float], incident: str | None) -> float:
    begun = 0 if minute < RESTART else RESTART
    if sample.name == "process_start_time_seconds":
        return begun * 60
    kind = sample.labels["kind"]
    cycles = int((minute - begun) * 60 // intervals[kind])
    if begun and kind == incident:
        return 0
    return LIVELY[sample.name](sample.labels, cycles, begun * 60 + cycles * intervals[kind])


def _attempts(labels: dict[str, str], cycles: int, _: float) -> float:
    return {"success": cycles + 1, "failed": cycles // EVERY, "cancelled": 0}[labels["status"]]


def _bucket(labels: dict[str, str], cycles: int, _: float) -> float:
    return cycles + 1 if float(labels["le"]) >= USUAL[labels["kind"]] else 0


LIVELY: dict[str, Callable[[dict[str, str], int, float], float]] = {
    "alert_refresh_last_success_timestamp_seconds": lambda _, cycles, at: at if cycles else 0,
    "alert_refresh_attempts_total": _attempts,
    "alert_refresh_consecutive_failures": lambda _, cycles, at: cycles % EVERY == EVERY - 1,
    "alert_refresh_duration_seconds_bucket": _bucket,
}
"""What changes in the course of a day, by labels, cycles since the start and the time of the last one."""


def _written(values: list[float]) -> str:
    """As promtool reads them; `a+0xn` is a value that stays."""
    if len(set(values)) == 1:
        return f"{float(values[0]):g}+0x{len(values) - 1}"
    return " ".join(f"{float(value):g}" for value in values)


def alerts(series: dict[str, list[float]], folder: Path) -> set[str]:
    """The alerts that were pending or fired at any time of such a day, by promtool; skips where there is none."""
    tool = binary("promtool")
    if tool is None:
        pytest.skip("promtool is not here")
    expected = {"expr": "count by (alertname) (count_over_time(ALERTS[24h]))", "eval_time": f"{MINUTES}m"}
    test: dict[str, Any] = {
        "interval": "1m",
        "input_series": [{"series": name, "values": _written(values)} for name, values in series.items()],
        "promql_expr_test": [expected | {"exp_samples": []}],
    }
    file = folder / "day.yml"
    # JSON is YAML, and written faster.
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": [test]}))
    result = subprocess.run([tool, "test", "rules", file], capture_output=True, text=True, timeout=120)
    found = set(re.findall(r'alertname="(\w+)"', result.stdout + result.stderr))
    assert found or result.returncode == 0, result.stdout + result.stderr
    return found
