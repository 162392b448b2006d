"""Rules: loading, reading, matching. By itself: `python -m bench.rules`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from alert_refresh.daemon import Daemon, read_config
from alert_refresh.engine import (
    Deadline,
    Interval,
    RefreshSettings,
    Request,
    Snapshot,
    SystemClock,
    Trigger,
    Worker,
)
from alert_refresh.engine.guard.ruling import Ruling
from alert_refresh.engine.state import RefreshState
from alert_refresh.rules import KIND, Settings
from alert_refresh.rules.forms import warm_file
from alert_refresh.rules.hot_cache import HotCache
from alert_refresh.rules.matcher import Matcher
from alert_refresh.rules.rule import Rule, check
from alert_refresh.rules.rule_set import RuleSet, rule_set
from alert_refresh.rules.source import FileSource
from alert_refresh.web.app import create_app
from bench.table import Table, median, quantile, seconds, spread

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

FEW, MANY = 1234, 100_000
HEADER = 56


def rules(count: int, word: str = "first") -> list[Rule]:
    """Rules as one has them: about 290 bytes each, two to four matchers, every fifth with a regular expression."""
    found = []
    for number in range(count):
        match = [
            Matcher("severity", "=", ("critical", "warning", "info", "page")[number % 4]),
            Matcher("service", "=", f"service-{number % 2000}"),
        ]
        if number % 5 == 0:
            match.append(Matcher("instance", "=~", rf"web-{number % 200}-[0-9]+\.prod"))
        if number % 7 == 0:
            match.append(Matcher("environment", "!=", "dev"))
        found.append(
            Rule(
                id=f"rule-{number:06d}",
                family=f"family-{number % 50}",
                priority=number % 10,
                match=tuple(match),
                targets=(f"target-{number % 40}", "pagerduty-oncall"),
                description=f"Alert {number} of the service, {word}",
                annotations={"runbook": f"https://runbooks.example.com/{number}", "summary": "Something is wrong"},
            )
        )
    return found


def timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def source_of(file: Path) -> FileSource:
    return FileSource(file, Settings(RefreshSettings(), 300, file, 10_000, None), SystemClock())


def load_times(folder: Path, count: int, rounds: int) -> tuple[list[float], list[float], list[float]]:
    """Seconds to decode the bytes with msgspec alone, to load them cold, and to load them over another version."""
    file, clock, request = folder / "load.warm", SystemClock(), Request(Trigger.MANUAL)
    versions = [warm_file.pack(rules(count, word)) for word in ("first", "other")]
    decoder = msgspec.msgpack.Decoder(list[Rule])
    decodes: list[float] = []
    colds: list[float] = []
    reloads: list[float] = []
    for _ in range(rounds):
        body = versions[0][HEADER:]
        decodes.append(timed(lambda body=body: decoder.decode(body)))  # type: ignore[misc]
        source, loaded = source_of(file), list[Snapshot[Any]]()
        for version, times in zip(versions, (colds, reloads), strict=True):
            file.write_bytes(version)
            previous: Snapshot[Any] | None = loaded[-1] if loaded else None

            def load(previous: Snapshot[Any] | None = previous, source: FileSource = source) -> None:
                loaded.append(source.refresh(previous, request, Deadline(clock, 60)))  # noqa: B023

            times.append(timed(load))
    return decodes, colds, reloads


def loading(folder: Path) -> Table:
    table = Table(
        "Rules: loading",
        note="A warm file from disk to a set that is served: read, checksum, decode, validate, index, hot cache;"
        " beside `msgspec` decoding the same bytes into the same type and doing nothing else. The best of 31 and of 9"
        " rounds: what else runs on the machine only adds.",
    )
    for count, rounds in ((FEW, 31), (MANY, 9)):
        decodes, colds, reloads = load_times(folder, count, rounds)
        decode, size = min(decodes), (folder / "load.warm").stat().st_size
        table.add(f"{count:,} rules, {size / 1e6:.1f} MB, msgspec alone", seconds(decode), "", "")
        for what, times in (("cold load", colds), ("reload, all changed", reloads)):
            best = min(times)
            ratio = best / decode
            measured = f"{seconds(best)}, {count / best:,.0f} rules/s, {ratio:.1f} times msgspec"
            if count == MANY:
                table.promise(f"{count:,} rules, {what}", measured, "at most 3 times", kept=ratio <= 3)
            else:
                table.add(f"{count:,} rules, {what}", measured, "", "")
    each = float(subprocess.run(MEMORY, capture_output=True, text=True, check=True).stdout)
    table.add(f"memory per rule ({MANY:,} loaded, in a process of its own)", f"{each:.0f} bytes", "", "")
    return table


MEMORY = [
    sys.executable,
    "-c",
    f"""
import tempfile, pathlib
from bench.rules import *
def resident(): return int(open("/proc/self/statm").read().split()[1]) * 4096
with tempfile.TemporaryDirectory() as folder:
    file = pathlib.Path(folder) / "rules.warm"
    subprocess.run([sys.executable, "-c",
        "import sys; from bench.rules import *; Path(sys.argv[1]).write_bytes(warm_file.pack(rules({MANY})))", file])
    source = source_of(file)
    before = resident()
    kept = source.refresh(None, Request(Trigger.MANUAL), Deadline(SystemClock(), 60))
    print((resident() - before) / {MANY})
""",
]


def event_path(folder: Path) -> Table:
    table = Table("Rules: from a POST to served", note=f"{FEW:,} rules that all changed; 50 times.")
    file = folder / "rules.warm"
    versions = [warm_file.pack(rules(FEW, word)) for word in ("first", "other")]
    file.write_bytes(versions[0])
    daemon = Daemon(
        read_config({"RULES_FILE": str(file), "RULES_REFRESH_RATE_LIMIT": "0s", "ALERT_REFRESH_LOG_LEVEL": "ERROR"})
    )
    client = create_app(daemon).test_client()
    # Only the POST may cause the load.
    worker: Worker[Any] = daemon.workers["rules"]
    worker.source.watches = lambda sink: ()  # type: ignore[method-assign]
    daemon.start()
    while worker.get_status().snapshot is None:
        time.sleep(0.001)
    times = []
    for turn in range(50):
        file.write_bytes(versions[(turn + 1) % 2])
        before = worker.get_status().snapshot
        began = time.perf_counter()
        assert client.post("/api/v2/rules/refresh").status_code == 202
        while worker.get_status().snapshot is before:
            time.sleep(0.0001)
        times.append(time.perf_counter() - began)
        while worker.get_status().in_progress:
            time.sleep(0.001)
    daemon.stop()
    table.promise("POST to swapped in", spread(times), "< 100 ms", kept=quantile(times, 0.95) < 0.1)
    return table


def loaded(found: Sequence[Rule], cache: HotCache | None = None, before: RuleSet | None = None) -> RuleSet:
    return RuleSet(check(found, {}), None, cache or HotCache(10_000, {}), before)


def reading() -> Table:
    table = Table("Rules: a read of a hot rule", note="10,000 rules, all hot; the best of 9 runs of 100,000 reads.")
    found = loaded(rules(10_000))
    state: RefreshState[Rule] = RefreshState(KIND.name, SystemClock(), Interval(300), 0)
    run = state.open()
    request = state.due(run)
    assert request is not None
    snapshot = Snapshot(found.rules, memo=found)
    state.finish(state.begin(request, 1, Deadline(SystemClock(), 60)), Ruling(snapshot, snapshot), None)
    ids, plain = list(found.rules)[::10] * 100, dict(found.rules)

    def by_dict() -> None:
        for rule_id in ids:
            plain[rule_id]

    def by_set() -> None:
        get = found.get
        for rule_id in ids:
            get(rule_id)

    def by_status() -> None:
        for rule_id in ids:
            rule_set(state.status().snapshot).get(rule_id)  # type: ignore[union-attr]

    best = {call: min(timed(call) for _ in range(9)) / len(ids) for call in (by_dict, by_set, by_status)}
    table.add("plain dict", seconds(best[by_dict]), "", "")
    for what, call in (
        ("`get`, with counts and recency", by_set),
        ("the same, from the worker's status on", by_status),
    ):
        ratio = best[call] / best[by_dict]
        table.promise(what, f"{seconds(best[call])}, 1/{ratio:.1f} of the rate", "at least 1/12", kept=ratio <= 12)
    return table


def naive(found: Sequence[Rule], patterns: Mapping[str, Any], labels: Mapping[str, str]) -> list[Rule]:
    """What matching is without an index: every matcher of every rule, in order, until one refuses."""

    def accepts(matcher: Matcher) -> bool:
        value = labels.get(matcher.name, "")
        if matcher.op in ("=", "!="):
            return (value == matcher.value) == (matcher.op == "=")
        return (patterns[matcher.value].fullmatch(value) is not None) == (matcher.op == "=~")

    hits = [rule for rule in found if rule.enabled and all(map(accepts, rule.match))]
    return sorted(hits, key=lambda rule: (-rule.priority, rule.id))


def matching() -> Table:
    table = Table("Rules: which of 10,000 match an alert", columns=("rules", "index", "naive scan", "promised", ""))
    labels = {"severity": "critical", "service": "service-200", "instance": "web-0-17.prod", "environment": "prod"}
    labels |= {f"label-{number}": f"value-{number}" for number in range(12)}
    only_expressions = [
        Rule(id=f"r{n}", match=(Matcher("instance", "=~", f"web-{n % 500}-.*"),)) for n in range(10_000)
    ]
    one_value = [
        Rule(id=f"r{n}", match=(Matcher("severity", "=", "critical"), Matcher("x", "=", ""))) for n in range(10_000)
    ]
    for what, found in (
        ("as one has them", rules(10_000)),
        ("only regular expressions, 500 different", only_expressions),
        ("all want the same value, all match", one_value),
    ):
        one, patterns = loaded(found), check(found, {}).patterns
        assert one.match(labels) == naive(found, patterns, labels)
        indexed = median([timed(lambda one=one: one._index.match(labels)) for _ in range(21)])  # type: ignore[misc]
        scanned = median([timed(lambda f=found, p=patterns: naive(f, p, labels)) for _ in range(5)])  # type: ignore[misc]
        promised = "at most 5 ms" if what == "as one has them" else ""
        kept = indexed <= 0.005
        table.kept &= kept or not promised
        table.add(what, seconds(indexed), seconds(scanned), promised, ("yes" if kept else "**NO**") if promised else "")
    return table


def tables(folder: Path) -> list[Table]:
    """All of them, in the order of the manual."""
    return [loading(folder), event_path(folder), reading(), matching()]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = tables(Path(folder))
    for table in found:
        print(table)
    if not all(table.kept for table in found):
        sys.exit("A promise is not kept.")


if __name__ == "__main__":
    main()
