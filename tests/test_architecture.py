"""The rules of docs/architecture.md that code can see: what may import, lock, wait, catch and start threads where."""

from __future__ import annotations

import ast
import graphlib
import importlib
import io
import re
import subprocess
import sys
import tokenize
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from alert_refresh import daemon
from alert_refresh.cli.check import check_sources
from alert_refresh.engine import ConfigErrors
from alert_refresh.kind import load
from alert_refresh.web.app import create_app
from tests.stage import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.no_cover

PACKAGE = Path(__file__).parent.parent / "alert_refresh"
TESTS = Path(__file__).parent
ENGINE = PACKAGE / "engine"
LONGEST = 250
"""Lines of code in a module; docstrings, comments and blank lines are free."""

MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def over(paths: list[Path]) -> Callable[[Callable[[Path], None]], Callable[[], None]]:
    """Make one test of a check that is applied to each of these modules."""

    def decorate(check: Callable[[Path], None]) -> Callable[[], None]:
        def test() -> None:
            assert paths
            for path in paths:
                try:
                    check(path)
                except AssertionError as error:
                    error.add_note(f"in {name_of(path)}")
                    raise

        test.__name__, test.__doc__ = check.__name__, check.__doc__
        return test

    return decorate


every_module = over(MODULES)
every_engine_module = over(sorted(ENGINE.glob("*.py")))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def imports_of(path: Path, *, at_import: bool = False) -> Iterator[str]:
    """Every module that is imported; with `at_import` only those that importing `path` itself imports."""
    todo: list[ast.AST] = [tree_of(path)]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif at_import and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        elif at_import and isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            todo += node.orelse
            continue
        todo += ast.iter_child_nodes(node)


def dotted(node: ast.AST) -> str:
    """`a.b.c` as text; other expressions are an empty text."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value) or ast.unparse(node.value)}.{node.attr}"
    return ""


def calls_in(node: ast.AST) -> Iterator[str]:
    for one in ast.walk(node):
        if isinstance(one, ast.Call):
            yield dotted(one.func)


def uses(path: Path, *names: str) -> set[str]:
    """Which of these dotted names appear in a module, however they were imported."""
    found = {dotted(node) for node in ast.walk(tree_of(path))}
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found & set(names)


def strings_and_names(path: Path) -> Iterator[str]:
    """Every name, string and comment in a module."""
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type in (tokenize.NAME, tokenize.STRING, tokenize.COMMENT):
            yield token.string


def lines_of_code(path: Path) -> int:
    """Lines that hold code: no comments, no docstrings, no blank lines."""
    lines: set[int] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        text = isinstance(node, ast.Constant) and isinstance(node.value, str)
        if isinstance(node, ast.stmt | ast.excepthandler | ast.expr) and not text:
            lines |= {node.lineno, node.end_lineno or node.lineno}
    return len(lines)


@every_engine_module
def test_the_engine_imports_nothing_else_of_ours(path: Path) -> None:
    ours = [name for name in imports_of(path) if name.startswith("alert_refresh")]
    assert [name for name in ours if not name.startswith("alert_refresh.engine")] == []


@every_engine_module
def test_the_engine_mentions_nothing_that_is_refreshed(path: Path) -> None:
    words = re.compile(
        r"kube|k8s|secret(?!\))|namespace|\bpod\b|manifest|\btargets?\b|\brules?\b|\bviews?\b|sql|postgres|redis|"
        r"flask|gunicorn|http|prometheus|webhook",
        re.IGNORECASE,
    )
    # Two ordinary uses of these words: the masked credential, and a call's argument.
    allowed = {"(masked if secret)", "target"}
    found = []
    for text in strings_and_names(path):
        for phrase in allowed:
            text = text.replace(phrase, "") if phrase != text else ""
        found += words.findall(text)
    assert found == []


def test_only_the_state_holds_the_lock() -> None:
    holders = {
        name_of(path)
        for path in MODULES
        if any(isinstance(node, ast.Attribute) and node.attr == "_lock" for node in ast.walk(tree_of(path)))
    }
    assert holders - OWN_LOCKS == {"engine/state.py"}
    state = tree_of(ENGINE / "state.py")
    [cls] = [node for node in state.body if isinstance(node, ast.ClassDef) and node.name == "RefreshState"]
    inside = {id(node) for node in ast.walk(cls)}
    for node in ast.walk(state):
        if isinstance(node, ast.Attribute) and node.attr == "_lock":
            assert id(node) in inside
            assert dotted(node) == "self._lock"
    locked = [node for node in ast.walk(cls) if isinstance(node, ast.With)]
    assert len(locked) > 5
    assert all(ast.unparse(item.context_expr) == "self._lock" for node in locked for item in node.items)
    created = [node for node in ast.walk(cls) if isinstance(node, ast.Attribute) and node.attr == "_lock"]
    assert len(created) == len(locked) + 1, "the lock is created once and used in `with` alone"


OWN_LOCKS = {"observe/feed.py", "observe/refreshes.py", "rules/hot_cache.py", "views/tiers/lru.py"}
"""Data structures of their own, caches and records, may own a private lock under the same rule."""

UNDER_LOCK = re.compile(
    r"replace|Request|Attempt|Outcome|str|int|len|max|min|float|isinstance"
    r"|take|end_attempt|end_cycle|outcome_of|restored|status\.guard\.confirm_at"
    r"|self\._clock\.(monotonic|time)|self\._schedule\.\w+|self\.\w+|(\w+\.)+_?(next_due|after)"
    r"|AlreadyStarted|NotStarted|Overtaken|RefreshInProgress|RateLimitExceeded|Stopping|Superseded"
)


def test_under_the_lock_there_are_only_assignments_comparisons_and_replacements() -> None:
    methods = {node.name: node for node in ast.walk(tree_of(ENGINE / "state.py")) if isinstance(node, ast.FunctionDef)}
    for method in methods.values():
        for node in ast.walk(method):
            if not isinstance(node, ast.With):
                continue
            for call in calls_in(ast.Module(body=node.body, type_ignores=[])):
                assert UNDER_LOCK.fullmatch(call), f"{method.name} calls {call} under the lock"
                own = call.removeprefix("self.")
                assert not call.startswith("self.") or "." in own or own in methods, call
            assert not [one for one in ast.walk(node) if isinstance(one, ast.For | ast.While | ast.Yield | ast.Await)]


@every_module
def test_other_locks_are_nowhere(path: Path) -> None:
    locks = ("threading.Lock", "threading.RLock", "threading.Condition", "threading.Semaphore")
    allowed = {"threading.RLock"} if name_of(path) == "engine/state.py" else set()
    if name_of(path) in OWN_LOCKS:
        allowed = {"threading.Lock", "threading.RLock"}
    assert uses(path, *locks) <= allowed


@every_module
def test_threads_are_started_in_one_place(path: Path) -> None:
    thread_starts = {"threading.Timer", "_thread.start_new_thread", "multiprocessing.Process", "os.fork"}
    thread_starts |= {"Thread", "threading.Thread"}
    modules = {name.split(".")[0] for name in imports_of(path)}
    assert modules.isdisjoint({"multiprocessing", "asyncio"})
    assert "concurrent.futures" not in set(imports_of(path))
    if name_of(path) == "engine/threads.py":
        starts = [call for call in calls_in(tree_of(path)) if call in thread_starts]
        assert len(starts) == 1
        return
    assert not [call for call in calls_in(tree_of(path)) if call in thread_starts]


@every_module
def test_nothing_sleeps(path: Path) -> None:
    assert not uses(path, "time.sleep", "sleep_using_event")


@every_module
def test_nothing_waits_on_an_event_that_cannot_be_set(path: Path) -> None:
    assert waits_in_vain(tree_of(path)) == []


@pytest.mark.parametrize(
    "code",
    [
        "clock.wait(threading.Event(), 0.5)",
        "clock.wait(Event(), timeout)",
        "clock.wait(event=threading.Event(), seconds=1)",
        "threading.Event().wait(5)",
        "def rest(clock):\n    event = threading.Event()\n    clock.wait(event, 1)",
        "def rest():\n    event: Event = Event()\n    event.wait(1)",
        "def rest(clock):\n    clock.wait(stop or threading.Event(), 1)",
    ],
)
def test_a_wait_on_an_event_of_its_own_is_found(code: str) -> None:
    assert len(waits_in_vain(ast.parse(code))) == 1


@pytest.mark.parametrize(
    "code",
    [
        "self._clock.wait(self._stopping, 1)",
        "def wait(start):\n    event = threading.Event()\n    start(event.set)\n    event.wait(1)",
    ],
)
def test_a_wait_on_an_event_that_others_know_is_allowed(code: str) -> None:
    assert waits_in_vain(ast.parse(code)) == []


def waits_in_vain(tree: ast.AST) -> list[int]:
    """The lines of waits on an event that was created for the wait: no other code can set it, not even a stop."""
    found = []
    for function in [tree, *(node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))]:
        fresh = own_events(function)
        for node in ast.walk(function):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "wait"):
                continue
            used = [node.func.value, *node.args, *(keyword.value for keyword in node.keywords)]
            names = {one.id for part in used for one in ast.walk(part) if isinstance(one, ast.Name)}
            if any(makes_event(one) for part in used for one in ast.walk(part)) or names & fresh:
                found.append(node.lineno)
    return sorted(set(found))


def own_events(function: ast.AST) -> set[str]:
    """Names of events that a function makes and uses once."""
    if not isinstance(function, ast.FunctionDef):
        return set()
    made = {
        dotted(target)
        for node in ast.walk(function)
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None and makes_event(node.value)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    }
    loads = [node.id for node in ast.walk(function) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)]
    return {name for name in made if loads.count(name) == 1}


def makes_event(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and dotted(node.func) in ("threading.Event", "Event")


@every_module
def test_the_environment_is_read_in_one_place(path: Path) -> None:
    read = uses(path, "os.environ", "os.getenv", "os.environb", "os.putenv")
    assert read <= ({"os.environ"} if name_of(path) == "daemon.py" else set())


@every_module
def test_everything_is_caught_in_the_engine_and_around_one_item_only(path: Path) -> None:
    catches = [
        node
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or {"Exception", "BaseException"} & {dotted(one) for one in ast.walk(node.type)})
    ]
    suppressed = [
        node
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Call)
        and dotted(node.func).endswith("suppress")
        and {"Exception", "BaseException"} & {dotted(one) for one in node.args}
    ]
    allowed = {"engine/refresher.py", "engine/worker.py", "engine/threads.py", "targets/bulkhead.py"}
    assert name_of(path) in allowed or not catches + suppressed


@every_module
def test_no_error_of_a_client_library_is_shown_as_text(path: Path) -> None:
    """`str(error)` and `{error}` only where the error is ours: its text is built from named parts."""
    for node in ast.walk(tree_of(path)):
        if not isinstance(node, ast.ExceptHandler) or node.name is None:
            continue
        kinds = {dotted(one).split(".")[-1] for one in ast.walk(node.type)} if node.type else set()
        if not kinds & {"ApiException", "MaxRetryError", "HTTPError", "ConfigException", "OSError", "RedisError"}:
            continue
        for one in ast.walk(node):
            shown = one.args[0] if isinstance(one, ast.Call) and dotted(one.func) in ("str", "repr") else None
            if isinstance(one, ast.FormattedValue):
                shown = one.value
            assert not (isinstance(shown, ast.Name) and shown.id == node.name), f"line {node.lineno}"


@every_module
def test_expensive_modules_are_imported_only_where_they_are_needed(path: Path) -> None:
    places = {
        "kubernetes": re.compile(r"targets/kubernetes/\w+\.py"),
        "google": re.compile(r"targets/kubernetes/encoding/\w+\.py"),
        "psycopg": re.compile(r"views/(\w+/)?\w+\.py"),
        "psycopg_pool": re.compile(r"views/(\w+/)?\w+\.py"),
        "redis": re.compile(r"views/(\w+/)?\w+\.py"),
        "cryptography": re.compile(r"keep/sealing\.py"),
    }
    for module in {name.split(".")[0] for name in imports_of(path)} & set(places):
        assert places[module].fullmatch(name_of(path)), f"{module} is imported"


def test_redis_is_imported_in_one_file() -> None:
    assert len([path for path in MODULES if "redis" in {name.split(".")[0] for name in imports_of(path)}]) <= 1


@every_module
def test_a_module_is_short(path: Path) -> None:
    assert lines_of_code(path) <= LONGEST


def test_half_of_the_modules_are_very_short() -> None:
    lengths = sorted(lines_of_code(path) for path in MODULES)
    assert lengths[len(lengths) // 2] <= 100


@every_module
def test_a_module_has_a_docstring(path: Path) -> None:
    assert ast.get_docstring(tree_of(path)) or not path.read_text().strip()


@every_module
def test_class_and_module_names_are_not_vague(path: Path) -> None:
    vague = re.compile(r"(Manager|Coordinator|Handler|Helper|Util|Utils|Helpers)$")
    bases = {"logging.Handler", "StreamHandler"}
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.ClassDef) and not {dotted(base) for base in node.bases} & bases:
            assert not vague.search(node.name), node.name
    assert not re.search(r"util|helper|common|misc", path.stem)


def loaded_after(code: str) -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after running `code`."""
    show = "import sys; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    run = subprocess.run(
        [sys.executable, "-I", "-c", f"import sys; sys.path.insert(0, {str(PACKAGE.parent)!r})\n{code}\n{show}"],
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    return set(run.stdout.split())


EXPENSIVE = {"kubernetes", "google", "psycopg", "psycopg_pool", "redis", "urllib3", "pydantic", "cryptography"}


@pytest.mark.parametrize("module", ["cli", "daemon", "engine", "targets", "web.app", "server.server"])
def test_importing_loads_no_expensive_module_and_starts_no_thread(module: str) -> None:
    loaded = loaded_after(
        f"import alert_refresh.{module}, threading; assert threading.active_count() == 1, threading.enumerate()"
    )
    assert "alert_refresh" in loaded
    assert not loaded & EXPENSIVE


def test_a_daemon_with_a_directory_loads_no_expensive_module(tmp_path: Path) -> None:
    loaded = loaded_after(
        f"""
import threading
from alert_refresh.daemon import Daemon, read_config
daemon = Daemon(read_config({{"TARGET_DIRECTORY": {str(tmp_path)!r}}}))
assert threading.active_count() == 1, "nothing may start before start()"
from alert_refresh.web.app import create_app
create_app(daemon)
assert threading.active_count() == 1, "create_app starts nothing"
daemon.start()
request = daemon.workers["targets"].get_status().pending
while daemon.workers["targets"].get_status().succeeded == 0: pass
daemon.stop()
assert threading.active_count() == 1, threading.enumerate()
"""
    )
    assert not loaded & EXPENSIVE


def test_a_daemon_with_a_cluster_does_load_its_client(tmp_path: Path) -> None:
    """So that the test before this one can fail."""
    loaded = loaded_after(
        f"""
from alert_refresh.daemon import Daemon, read_config
Daemon(read_config({{"KUBECONFIG": {str(tmp_path / "none")!r}}}))
"""
    )
    assert {"kubernetes", "google"} <= loaded


def test_a_daemon_in_a_pod_does_not_load_the_official_client() -> None:
    """It would take as long as all the other imports."""
    loaded = loaded_after(
        """
from alert_refresh.daemon import Daemon, read_config
daemon = Daemon(read_config({"KUBERNETES_SERVICE_HOST": "127.0.0.1"}))
"""
    )
    assert {"google", "urllib3"} <= loaded
    assert "kubernetes" not in loaded


@pytest.mark.parametrize(
    ("code", "allowed"),
    [
        ("import alert_refresh.engine", set()),
        ("from alert_refresh.engine import RefreshSettings; RefreshSettings().retry_policy()", {"tenacity"}),
    ],
)
def test_the_engine_needs_the_standard_library_and_tenacity(code: str, allowed: set[str]) -> None:
    extra = loaded_after(code) - loaded_after("")
    outside = {name for name in extra if name not in sys.stdlib_module_names and not name.startswith("_")}
    assert outside == {"alert_refresh"} | allowed


NEW_KIND = {
    "__init__.py": '''
"""Weather: a kind of its own in a folder of its own."""

from types import SimpleNamespace

from alert_refresh.engine import Snapshot
from alert_refresh.kind import Kind


class Source:
    name = "sky"

    def refresh(self, previous, request, deadline):
        return Snapshot(items={"today": "sunny"}, digest="1")

    def watches(self, sink):
        return ()

    def close(self):
        return None


def read(env):
    return SimpleNamespace(refresh=env.refresh("WEATHER_REFRESH_"), on=env.boolean("WEATHER", default=True))


def build(settings, clock, before):
    return Source() if settings.on else None


KIND = Kind(
    name="weather",
    prefix="WEATHER_REFRESH_",
    error_types=("network", "unknown"),
    enable_hint="set WEATHER=true",
    read=read,
    build=build,
    gates_readiness=True,
    metrics="weather.rest:measure",
    blueprint="weather.rest:routes",
    check="weather.rest:check",
)
''',
    "rest.py": '''
"""Its metrics, its routes, its check."""

from flask import Blueprint
from prometheus_client import Gauge

from alert_refresh.web.answers import answer
from alert_refresh.web.status import loaded


def measure(registry, workers):
    return Gauge("weather_questions", "Questions that were asked.", registry=registry)


def routes(daemon, auth, metrics):
    blueprint = Blueprint("weather", __name__, url_prefix="/api/v2/weather")

    @blueprint.get("")
    def listing():
        """The weather."""
        metrics.inc()
        return answer({"weather": loaded(daemon, "weather").items})

    return blueprint


def check(snapshots):
    return {"warnings": [f"it is {snapshots['weather'].items['today']}"]}
''',
}
"""A kind that the program does not have: a folder, and one line in `daemon.KINDS`."""


def test_a_new_kind_is_a_folder_and_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "weather"
    folder.mkdir()
    for name, text in NEW_KIND.items():
        (folder / name).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    weather = importlib.import_module("weather")
    monkeypatch.setattr(daemon, "KINDS", (*daemon.KINDS, weather.KIND))
    try:
        with pytest.raises(ConfigErrors, match="WEATHER_REFRESH_INTERVALL"):
            daemon.read_config({"WEATHER_REFRESH_INTERVALL": "5m"})
        config = daemon.read_config({"WEATHER_REFRESH_INTERVAL": "1m"})
        program = daemon.Daemon(config)
        client = create_app(program).test_client()
        assert client.get("/readyz").status_code == 503
        program.start()
        try:
            eventually(lambda: client.get("/readyz").status_code == 200, "ready")
            assert client.get("/api/v2/weather").get_json() == {"weather": {"today": "sunny"}}
            assert client.get("/health").get_json()["kinds"]["weather"]["status"] == "healthy"
            shown = client.get("/metrics").get_data(as_text=True)
            assert "weather_questions 1.0" in shown
            assert 'alert_refresh_attempts_total{kind="weather",status="success"} 1.0' in shown
        finally:
            program.stop()
        [checked] = [one for one in check_sources(config) if one["kind"] == "weather"]
        assert (checked["source"], checked["items"], checked["warnings"]) == ("sky", 1, ["it is sunny"])
        off = create_app(daemon.Daemon(daemon.read_config({"WEATHER": "false"}))).test_client()
        assert 'alert_refresh_kind_enabled{kind="weather"} 0.0' in off.get("/metrics").get_data(as_text=True)
        assert "set WEATHER=true" in off.get("/api/v2/weather").get_json()["message"]
    finally:
        for name in ("weather", "weather.rest"):
            sys.modules.pop(name, None)


def test_every_name_by_which_a_kind_is_loaded_exists() -> None:
    for kind in daemon.KINDS:
        for name in filter(None, (kind.metrics, kind.blueprint, kind.check, kind.keep)):
            assert callable(load(name))


def test_no_module_is_imported_in_a_circle() -> None:
    """By what importing a module imports; what functions import later may close a circle."""
    known = {
        ".".join(("alert_refresh", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
        for path in MODULES
    }

    def imported(path: Path) -> set[str]:
        found: set[str] = set()
        for node in ast.walk(
            ast.Module(body=[one for one in tree_of(path).body if not is_for_types(one)], type_ignores=[])
        ):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
        return found & known.keys()

    def is_for_types(node: ast.stmt) -> bool:
        return isinstance(node, ast.FunctionDef | ast.ClassDef) or (
            isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        )

    order = graphlib.TopologicalSorter({name: imported(path) - {name} for name, path in known.items()})
    order.prepare()


def test_packages_import_only_what_they_may() -> None:
    rooms = {
        "targets/secret": ("targets.kubernetes", "targets.folder", "web", "server", "daemon"),
        "targets/folder": ("targets.kubernetes", "web", "server", "daemon"),
        "targets/kubernetes": ("targets.folder", "web", "server", "daemon"),
        "server": ("targets", "rules", "views", "alertmanager"),
        "files": ("targets", "rules", "views", "alertmanager", "web", "server", "daemon"),
        "keep": ("targets", "rules", "views", "alertmanager", "web", "server", "daemon", "cli"),
        "targets": ("rules", "views", "alertmanager", "web", "server", "daemon", "cli"),
        "rules": ("targets", "views", "alertmanager", "web", "server", "daemon", "cli"),
        "views": ("targets", "rules", "alertmanager", "web", "server", "daemon", "cli"),
        "alertmanager": ("targets.kubernetes", "targets.folder", "views", "web", "server", "daemon", "cli"),
    }
    for room, forbidden in rooms.items():
        for path in (PACKAGE / room).rglob("*.py"):
            for name in imports_of(path):
                assert not name.startswith(tuple(f"alert_refresh.{one}" for one in forbidden)), (name_of(path), name)


def test_dns_labels_have_one_regular_expression() -> None:
    assert [name_of(path) for path in MODULES if "{0,61}" in path.read_text() and "[-a-z0-9]" in path.read_text()] == [
        "dns_label.py",
        "targets/secret/selector.py",  # label keys and values, which may have dots, underscores and capitals
    ]


def test_no_folder_has_too_many_modules() -> None:
    for folder in {path.parent for path in MODULES}:
        names = [path.name for path in folder.glob("*.py") if path.name != "__init__.py"]
        assert len(names) <= 18, (name_of(folder), len(names))


def test_a_function_is_short() -> None:
    for path in (*MODULES, *TESTS.rglob("*.py")):
        for node in ast.walk(tree_of(path)):
            if isinstance(node, ast.FunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                assert lines <= 40, f"{path}: {node.name} has {lines} lines"


def test_every_module_has_a_test_file_at_its_path_or_a_row_in_the_architecture_page() -> None:
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text()
    table = page[page.index("| modules | tests |") : page.index("\n## Adding a kind")]
    listed: list[str] = []
    for row in table.splitlines()[2:]:
        modules, tests = (re.findall(r"`(\S+\.py)`", cell) for cell in row.strip("|").split("|")) if row else ([], [])
        listed += modules
        assert not modules or tests, row
        assert [one for one in tests if not (TESTS / one).is_file()] == []
    names = [path.relative_to(PACKAGE) for path in MODULES if not path.name.endswith(("__init__.py", "_pb2.py"))]
    assert sorted(listed) == [str(one) for one in names if not (TESTS / one.with_name(f"test_{one.name}")).is_file()]


def test_the_architecture_page_lists_every_module_where_it_is() -> None:
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text()
    tree = page[page.index("alert_refresh/\n├") : page.index("\ntests/  ")]
    listed: set[str] = set()
    folders: list[str] = []
    for line in tree.splitlines()[1:]:
        entry = re.fullmatch(r"((?:[│ ]   )*)[├└]── (\S+) *(.*)", line)
        assert entry, line
        depth = len(entry[1]) // 4
        folders = [*folders[:depth], entry[2]]
        if entry[2].endswith(".py"):
            listed.add("".join(folders))
        else:
            listed |= {"".join(folders) + name for name in re.findall(r"\b(\w+\.py)\b", entry[3])}
    assert listed == {name_of(path) for path in MODULES if path.name != "__init__.py"}
