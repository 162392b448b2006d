"""Kubernetes at wire speed: `python -m bench.kubernetes`, no cluster needed.

The same work is done by this program, by the official client's typed list and in the way of k8s-sidecar (typed, pages
of 5), in turns in one run, beside bare GETs of the same Secrets in JSON, in protobuf and of their metadata. They come
from the API stand-in in a process of its own. It takes as long for a Secret as a real server does: 12 microseconds in
JSON, 0.45 of that in protobuf, 0.22 for its metadata in protobuf. With `--real` the Secrets of the cluster that
KUBECONFIG names are read instead; to measure propagation one Secret is made, changed and deleted there.

`--peer NAME=COMMAND` measures another program beside them: it is started with the kubeconfig as its last argument, and
for each line that it reads it lists and parses all Secrets and answers with a line. With `--server-pid` the CPU of the
API server is measured too.
"""

from __future__ import annotations

import argparse
import base64
import gc
import http.client
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

import yaml

from bench.client import Client
from bench.stand_in import stand_in
from bench.table import Table, median, quantile, seconds
from tests.kube import secret
from tests.process.program import ROOT, Program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alert_refresh.engine import Snapshot
    from alert_refresh.targets.target import Target

SELECTOR = "publishing-target=true"
TARGETS = "/api/v2/publishing/targets"
FLIPPED = {"alertmanager": "webhook", "webhook": "alertmanager"}
PAGE_OF_SIDECAR = 5


# One way each to have all targets of a cluster


PROTOBUF = "application/vnd.kubernetes.protobuf"
METADATA = f"{PROTOBUF};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


def bare(file: Path, accept: str = "application/json") -> Callable[[], int]:
    """A GET of the same Secrets over one connection, nothing looked at; returns its length."""
    path, get = path_of(file), getter(file, accept)
    return lambda: len(get(path))


def in_pages(file: Path, size: int = 1000) -> Callable[[], int]:
    """The same in JSON in pages, as this program read until it read protobuf."""
    path, get = path_of(file), getter(file, "application/json")

    def read() -> int:
        length, more = 0, ""
        while True:
            body = get(f"{path}&limit={size}{more}")
            length += len(body)
            found = re.search(rb'"continue": ?"([^"]+)"', body[:1000])
            if found is None:
                return length
            more = f"&continue={found[1].decode()}"

    return read


def path_of(file: Path) -> str:
    return f"/api/v1/namespaces/{namespace(file)}/secrets?{urlencode({'labelSelector': SELECTOR})}"


def getter(file: Path, accept: str) -> Callable[[str], bytes]:
    """A GET over one connection; plain HTTP, or a cluster's own TLS and token."""
    if not _url(file).startswith("http://"):
        from kubernetes import config

        api = config.new_client_from_config(str(file))

        def get_tls(path: str) -> bytes:
            settings = api.configuration.auth_settings().get("BearerToken")
            token = {"Authorization": settings["value"]} if settings else {}
            answer = api.call_api("GET", api.configuration.host + path, {"Accept": accept} | token)
            assert answer.response.status == 200, answer.response.status
            body: bytes = answer.response.read()
            return body

        return get_tls
    parts = urlsplit(_url(file))
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port)

    def get(path: str) -> bytes:
        connection.request("GET", path, headers={"Accept": accept})
        response = connection.getresponse()
        body = response.read()
        assert response.status == 200, response.status
        return body

    weakref.finalize(get, connection.close)
    return get


def ours(file: Path) -> Callable[[Snapshot[Target] | None], Snapshot[Target]]:
    """The source as the program uses it, in a warm process."""
    from alert_refresh.engine import Deadline, Request, SystemClock, Trigger
    from alert_refresh.env import Env
    from alert_refresh.targets import read
    from alert_refresh.targets.kubernetes.source import KubernetesSource

    clock = SystemClock()
    source = KubernetesSource(read(Env({"KUBECONFIG": str(file), "K8S_NAMESPACE": namespace(file)})), clock)
    return lambda previous: source.refresh(previous, Request(Trigger.MANUAL), Deadline(clock, 600))


def typed(file: Path, limit: int | None = None) -> Callable[[], int]:
    """The official client's models, and what is in them."""
    from kubernetes import client, config

    api: Any = client.CoreV1Api(config.new_client_from_config(str(file)))
    where = namespace(file)

    def read() -> int:
        found, more = {}, None
        while True:
            page = api.list_namespaced_secret(where, label_selector=SELECTOR, limit=limit, _continue=more)
            for one in page.items:
                found[one.metadata.name] = json.loads(base64.b64decode(one.data["config"]))
            more = page.metadata._continue
            if not more:
                return len(found)

    return read


@contextmanager
def peer(command: str, file: Path) -> Iterator[Callable[[], str]]:
    """Another program, which does it once for each line."""
    process = subprocess.Popen(
        [*shlex.split(command), str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdin is not None and process.stdout is not None

    def ask() -> str:
        process.stdin.write("\n")  # type: ignore[union-attr]
        answer = process.stdout.readline()  # type: ignore[union-attr]
        assert answer, command
        return answer

    with process:
        try:
            yield ask
        finally:
            process.terminate()


def _context(file: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The current context of a kubeconfig, and the cluster that it names."""
    document = yaml.safe_load(file.read_text())
    context = _named(document["contexts"], document["current-context"])["context"]
    return context, _named(document["clusters"], context["cluster"])["cluster"]


def _named(items: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(one for one in items if one["name"] == name)


def _url(file: Path) -> str:
    return str(_context(file)[1]["server"])


def version_of(file: Path) -> str:
    """What the API server calls itself."""
    return str(json.loads(getter(file, "application/json")("/version"))["gitVersion"])


def namespace(file: Path) -> str:
    """Where the Secrets are."""
    return str(_context(file)[0].get("namespace") or "default")


# What is measured


def timed(call: Callable[[], object]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


SLOW = ("typed", "sidecar")


def lists(
    file: Path, rounds: int, slow_rounds: int, peers: dict[str, str] | None = None, server: int | None = None
) -> dict[str, float]:
    """Least seconds of each way, done in turns, each with the garbage collector as its users have it.

    `full_cpu` and `unchanged_cpu` are seconds of this process's CPU, `server_bare` and so on the mean of the CPU that
    the process `server` took for it.
    """
    from alert_refresh.server.server import COLLECTIONS

    refresh, with_types = ours(file), typed(file)
    last = refresh(None)
    as_it_comes = gc.get_threshold()
    ways: dict[str, Callable[[], object]] = {
        "bare": bare(file),
        "pages": in_pages(file),
        "protobuf": bare(file, PROTOBUF),
        "metadata": bare(file, METADATA),
        "full": partial(refresh, None),
        "unchanged": partial(refresh, last),
        "typed": with_types,
        "sidecar": typed(file, PAGE_OF_SIDECAR),
    }
    with ExitStack() as stack:
        ways |= {f"peer {name}": stack.enter_context(peer(command, file)) for name, command in (peers or {}).items()}
        for name in ways.keys() - set(SLOW):
            ways[name]()
        taken: dict[str, list[float]] = {}
        for number in range(rounds):
            for name in ways if number < slow_rounds else [one for one in ways if one not in SLOW]:
                gc.set_threshold(*(as_it_comes if name in SLOW else (*as_it_comes[:2], COLLECTIONS)))
                for key, value in measured(name, ways[name], server).items():
                    taken.setdefault(key, []).append(value)
    gc.set_threshold(*as_it_comes)
    assert len(last.items) == with_types()
    # A process's CPU is counted in steps of 10 ms, so that only a mean says anything.
    found = {name: sum(some) / len(some) if name.startswith("server_") else min(some) for name, some in taken.items()}
    return found | {"count": len(last.items)}


def measured(name: str, way: Callable[[], object], server: int | None) -> dict[str, float]:
    """What doing it once took."""
    before, cpu = server_cpu(server), time.process_time()
    found = {name: timed(way), f"{name}_cpu": time.process_time() - cpu}
    return found | ({f"server_{name}": server_cpu(server) - before} if server else {})


def server_cpu(pid: int | None) -> float:
    """Seconds of CPU that a process has taken."""
    if pid is None:
        return 0.0
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def serve(file: Path, root: Path = ROOT) -> Program:
    env = {"KUBECONFIG": str(file), "K8S_NAMESPACE": namespace(file), "TARGET_REFRESH_RATE_LIMIT": "0s"}
    return Program(env=env, bare=True, root=root)


def start(file: Path, count: int, root: Path = ROOT) -> tuple[float, int]:
    """Seconds from the start of the process until a reader over HTTP has all of them, and the most memory it had until
    they were loaded, in kB.
    """
    began = time.perf_counter()
    with serve(file, root) as program, Client(program.port) as client:
        while True:
            status, body = client.json(f"{TARGETS}/status")
            if status == 200 and body["targets_valid"] >= count:
                break
            time.sleep(0.005)
        peak = max(_peak(pid) for pid in (program.process.pid, *_children(program.process.pid)))
        assert len(client.json(TARGETS)[1]["targets"]) == count
        took = time.perf_counter() - began
    return took, peak


def start_sidecar(file: Path) -> tuple[float, int]:
    """The same for k8s-sidecar's way, which serves nothing: start, imports, pages of 5, parsed."""
    began = time.perf_counter()
    code = (
        "from pathlib import Path; from bench.kubernetes import typed, peak_of_this_process;"
        f"print(typed(Path({str(file)!r}), {PAGE_OF_SIDECAR})(), peak_of_this_process())"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return time.perf_counter() - began, int(run.stdout.split()[1])


def peak_of_this_process() -> int:
    """Kilobytes."""
    return _peak(os.getpid())


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(one) for one in text.split()]


def _peak(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def propagation(file: Path, samples: int, *, busy: bool, root: Path = ROOT) -> list[float]:
    """Seconds from before a write is sent to the API server until the change is served over HTTP."""
    from kubernetes import client, config

    api = client.CoreV1Api(config.new_client_from_config(str(file)))
    name, where = "bench-propagation", namespace(file)
    document = secret(name, where)
    with serve(file, root) as program, Client(program.port) as reader:
        program.wait_for("The watch is connected")
        api.create_namespaced_secret(where, document)
        over = threading.Event()

        def back_to_back() -> None:
            with Client(program.port) as asker:
                while not over.is_set():
                    asker.request(f"{TARGETS}/refresh?wait=60s", "POST")

        thread = threading.Thread(target=back_to_back)
        if busy:
            thread.start()
        taken = []
        wanted = "alertmanager"
        try:
            while reader.request(f"{TARGETS}/{name}")[0] != 200:
                time.sleep(0.005)
            for _ in range(samples):
                wanted = FLIPPED[wanted]
                document = secret(name, where, format=wanted)
                began = time.perf_counter()
                api.replace_namespaced_secret(name, where, document)
                while reader.json(f"{TARGETS}/{name}")[1]["format"] != wanted:
                    time.sleep(0.0002)
                taken.append(time.perf_counter() - began)
                time.sleep(0.02)
        finally:
            over.set()
            if busy:
                thread.join()
            api.delete_namespaced_secret(name, where)
    return taken


# Tables


def of_lists(results: list[dict[str, float]]) -> Table:
    columns: tuple[str, ...] = ("Secrets", "bare GET, JSON", "protobuf", "metadata", "full", "unchanged")
    columns += ("full, CPU", "unchanged, CPU", "typed list", "k8s-sidecar's way")
    columns += ("full : bare", "unchanged : bare", "typed : full", "sidecar : full", "full a Secret")
    note = "Least of all rounds; `x : y` is how many times x takes as long, `bare` the bare GET in JSON."
    table = Table("List and parse, warm process", columns, note=note)
    for one in results:
        table.add(
            f"{one['count']:,.0f}",
            *(seconds(one[name]) for name in ("bare", "protobuf", "metadata", "full", "unchanged")),
            *(seconds(one[name]) for name in ("full_cpu", "unchanged_cpu", "typed", "sidecar")),
            f"{one['full'] / one['bare']:.2f}",
            f"{one['unchanged'] / one['bare']:.2f}",
            f"{one['typed'] / one['full']:.1f}",
            f"{one['sidecar'] / one['full']:.1f}",
            seconds(one["full"] / one["count"]),
        )
    return table


def of_server(one: dict[str, float]) -> Table:
    table = Table(
        "CPU of the API server for a list", ("how it is asked", "CPU", ": in pages"), note="The mean of all rounds."
    )
    for name, how in (
        ("pages", "JSON, pages of 1,000: this program until it read protobuf"),
        ("bare", "JSON, one page"),
        ("protobuf", "protobuf, one page"),
        ("metadata", "metadata in protobuf"),
        ("full", "this program, full"),
        ("unchanged", "this program, unchanged"),
        ("typed", "the official client's typed list"),
        ("sidecar", "k8s-sidecar's way"),
    ):
        cpu = one[f"server_{name}"]
        table.add(how, seconds(cpu), f"{cpu / one['server_pages']:.2f}")
    return table


def of_peers(one: dict[str, float], peers: dict[str, str]) -> Table:
    table = Table("Beside other programs", ("program", "list and parse", "full of this program : it"))
    for name in peers:
        took = one[f"peer {name}"]
        table.add(name, seconds(took), f"{one['full'] / took:.2f}")
    return table


OF_THE_STAND_IN = (
    "All numbers of this page are of the API stand-in, whose costs are set from measurements of a kube-apiserver 1.36"
    " (docs/decisions/0006). `--real` measures a cluster."
)


def promises(results: dict[int, dict[str, float]], *, real: bool) -> Table:
    table = Table("What is promised of it", note="" if real else OF_THE_STAND_IN)
    if (one := results.get(10_000)) is not None:
        for what, value, limit in (
            ("full : bare GET in JSON", one["full"] / one["bare"], 1.6 if real else 2.0),
            ("unchanged : bare GET in JSON", one["unchanged"] / one["bare"], 0.45),
            ("full : typed list", one["full"] / one["typed"], 1 / 3),
            ("full : k8s-sidecar's way", one["full"] / one["sidecar"], 1 / 15 if real else 1 / 9),
        ):
            table.promise(f"10,000 Secrets, {what}", f"{value:.3f}", f"<= {limit:.3f}", kept=value <= limit)
    if 1000 in results and 50_000 in results:
        a, b = (results[count]["full"] / count for count in (1000, 50_000))
        table.promise("a Secret of 50,000 : one of 1,000", f"{b / a:.2f}", "<= 1.3", kept=b / a <= 1.3)
    return table


def of_start(file: Path, count: int, *, real: bool) -> Table:
    table = Table(f"Start of a cold process, {count:,} Secrets")
    runs = [start(file, count) for _ in range(3)]
    took, peak = median([one for one, _ in runs]), max(kb for _, kb in runs)
    sidecar, its_peak = start_sidecar(file)
    limit = sidecar / (6 if real else 3)
    table.promise(
        "to all served over HTTP", seconds(took), f"<= {seconds(limit)} of {seconds(sidecar)}", kept=took <= limit
    )
    table.promise(
        "peak memory until all are loaded",
        f"{peak / 1000:.0f} MB",
        f"<= 0.6 of {its_peak / 1000:.0f} MB",
        kept=peak <= 0.6 * its_peak,
    )
    return table


def of_propagation(file: Path, count: int) -> Table:
    table = Table(
        f"From a write to its being served, {count:,} Secrets",
        note="Counted from before the write is sent, by a reader that asks again at once.",
    )
    idle = propagation(file, 100, busy=False)
    table.promise("median of 100", seconds(median(idle)), "<= 8 ms", kept=median(idle) <= 0.008)
    table.promise("worst of 100", seconds(max(idle)), "<= 30 ms", kept=max(idle) <= 0.030)
    busy = propagation(file, 100, busy=True)
    p99 = quantile(busy, 0.99)
    table.promise("p99 of 100 beside refreshes back to back", seconds(p99), "<= 100 ms", kept=p99 <= 0.1)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.kubernetes", description=__doc__)
    parser.add_argument("--counts", default="20,1000,10000,50000", help="Secrets, separated by commas")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--real", action="store_true", help="read the cluster that KUBECONFIG names")
    parser.add_argument("--peer", action="append", default=[], metavar="NAME=COMMAND", help="measure it too")
    parser.add_argument("--server-pid", type=int, help="the API server's process, whose CPU is measured too")
    parser.add_argument("--save", action="store_true", help="keep the tables in bench/kubernetes.md")
    options = parser.parse_args()
    from bench.where import where

    peers = dict(one.split("=", 1) for one in options.peer)
    text, kept = where("bench.kubernetes"), True
    if options.real:
        text += f"\nThe API server is {version_of(Path(os.environ['KUBECONFIG']))}.\n"
    print(text)
    made: list[Table] = []

    def show(table: Table) -> None:
        made.append(table)
        print(table, flush=True)

    results: dict[int, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        if options.real:
            file = Path(os.environ["KUBECONFIG"])
            one = lists(file, options.rounds, 3, peers, options.server_pid)
            results[int(one["count"])] = one
            show(of_lists([one]))
            if options.server_pid:
                show(of_server(one))
            if peers:
                show(of_peers(one, peers))
            show(promises(results, real=True))
            show(of_start(file, int(one["count"]), real=True))
            show(of_propagation(file, int(one["count"])))
        else:
            counts = [int(one) for one in options.counts.split(",")]
            for count in counts:
                with stand_in("tests.kube", Path(folder) / f"kubeconfig-{count}", count) as file:
                    results[count] = lists(file, options.rounds, 3 if count <= 10_000 else 1)
            show(of_lists(list(results.values())))
            show(promises(results, real=False))
            count = 10_000 if 10_000 in counts else max(counts)
            with stand_in("tests.kube", Path(folder) / f"kubeconfig-{count}", count) as file:
                show(of_start(file, count, real=False))
                show(of_propagation(file, count))
    kept = all(table.kept for table in made)
    if options.save:
        tables = "\n".join(str(table) for table in made)
        (Path(__file__).parent / "kubernetes.md").write_text(f"## Kubernetes\n\n{text}\n{tables}")
    if not kept:
        sys.exit("A promise is not kept.")


if __name__ == "__main__":
    main()
