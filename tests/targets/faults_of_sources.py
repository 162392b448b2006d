"""Inputs that make every fault of a whole source of targets, and every reason for skipping an object."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import ssl
import tempfile
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

from urllib3 import exceptions

from alert_refresh.engine import AttemptError, Deadline, Partial, Request, SystemClock, Trigger
from alert_refresh.targets.folder.parts import MAX_FILE, MAX_TOTAL
from alert_refresh.targets.folder.walk import MAX_ENTRIES
from alert_refresh.targets.kubernetes import client
from alert_refresh.targets.kubernetes.errors import unreachable
from alert_refresh.targets.kubernetes.source import KubernetesSource
from tests.faults.kubernetes import target_settings
from tests.kube import KubeServer, faults, fill, kubeconfig
from tests.targets.folder.folders import CANARY, World

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Row = tuple[str, str, str]
"""The type of an error, its message, and what made it."""

POD = "https://127.0.0.1:1"
"""The API server of a pod; nothing is sent to it."""
STATUSES = (401, 403, 404, 406, 410, 418, 429, 500, 503, 504)
LIST: dict[str, Any] = {
    "kind": "SecretList",
    "metadata": {"resourceVersion": "1", "continue": "again"},
    "items": [],
}
NO_VERSION = LIST | {"metadata": {"resourceVersion": ""}}
PAGES: tuple[tuple[str, Any], ...] = (
    ("an answer that is a JSON list", faults.page(b"[]")),
    ("an answer that is no JSON", faults.page(b"<html>")),
    ("an answer that ends early", faults.truncated("length")),
    ("a connection that is reset", faults.reset("request")),
    ("a body that is said to be gzip and is not", faults.encoded("garbage")),
    ("a redirect", faults.redirect("https://example.com/")),
    (
        "a list without a resourceVersion",
        faults.page(json.dumps(NO_VERSION).encode()),
    ),
    ("a page whose next page is itself", faults.page(json.dumps(LIST).encode())),
)
"""What an API server answers to a list."""
BROKEN: tuple[tuple[str, exceptions.HTTPError], ...] = (
    ("a certificate of an unknown authority", exceptions.SSLError(ssl.SSLCertVerificationError(CANARY))),
    ("a server without TLS", exceptions.SSLError(ssl.SSLError(CANARY))),
    ("a TLS handshake that is cut off", exceptions.SSLError(ssl.SSLEOFError(CANARY))),
    ("no file descriptor left for the CA file", exceptions.SSLError(OSError(errno.EMFILE, CANARY))),
    ("no DNS", exceptions.NameResolutionError(CANARY, mock.Mock(), socket.gaierror(CANARY))),
    ("a port that nothing listens on", exceptions.NewConnectionError(mock.Mock(), CANARY)),
    ("a server that does not answer", exceptions.ReadTimeoutError(mock.Mock(), "", CANARY)),
    ("an address that is no URL", exceptions.LocationValueError(CANARY)),
)
"""What urllib3 raises."""
KUBECONFIGS = (
    ("a kubeconfig that is no YAML", "a: [1\nb: 2"),
    ("a kubeconfig without a context", "{}"),
    ("a kubeconfig that is a list", "[]"),
)
SKIPPED: tuple[dict[str, Any], ...] = (
    {"kind": "SealedSecret"},
    {"kind": "Secret", "sops": {}},
    {"kind": "secret"},
    {"kind": "ConfigMap", "apiVersion": "v1"},
    {"kind": "Secret", "metadata": {"name": "a", "labels": {"publishing-target": "false"}}},
    {"kind": "Secret", "metadata": {"name": "a"}},
)
"""Objects that are no target and no fault."""
NO_PARTS = ("b.yaml.txt", "team/slack/url")
"""Files in a folder that make something skipped."""


@cache
def source_rows() -> tuple[Row, ...]:
    """Every error of an attempt, once."""
    found: dict[str, Row] = {}
    for row in (*_folders(), *_kubeconfigs(), *_pods(), *_answers(), *_connections()):
        found.setdefault(row[1], row)
    return tuple(found.values())


def skipped_rows() -> Iterator[Row]:
    """Every reason for which an object is skipped."""
    for document in SKIPPED:
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "a.yaml").write_text(json.dumps(document))
            yield from (("", one.reason, json.dumps(document)) for one in World(Path(folder)).refresh().skipped)
    for name in NO_PARTS:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
            yield from (("", one.reason, f"a file {name}") for one in World(Path(folder)).refresh().skipped)


def source_table() -> str:
    """Both as Markdown."""
    lines = ["| error_type | message | made by |", "|---|---|---|"]
    lines += [f"| {kind} | {_cell(said)} | {_cell(given)} |" for kind, said, given in source_rows()]
    what = "An object, file or subfolder that is no target is `skipped` with one of these reasons; that is no fault."
    lines += ["", what, ""]
    lines += ["| reason | for example |", "|---|---|"]
    lines += [f"| {_cell(said)} | <code>{_cell(given)}</code> |" for _, said, given in skipped_rows()]
    return "\n".join(lines) + "\n"


def _folders() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield from _row(World(folder / "none").refresh, "a folder that does not exist")
        (folder / "file").touch()
        yield from _row(World(folder / "file").refresh, "a file in its place")
        with mock.patch("os.scandir", side_effect=PermissionError(errno.EACCES, "")):
            yield from _row(World(folder).refresh, "a folder that the daemon may not read")
        for number in range(MAX_TOTAL // MAX_FILE + 1):
            (folder / f"{number}.yaml").touch()
            os.truncate(folder / f"{number}.yaml", MAX_FILE)
        with mock.patch("alert_refresh.targets.folder.parts.read_file", return_value=b""):
            yield from _row(World(folder).refresh, f"{MAX_TOTAL // MAX_FILE + 1} files of 16 MiB")
        entries = [SimpleNamespace(name=".hidden")] * (MAX_ENTRIES + 1)
        with mock.patch("os.scandir", return_value=contextlib.nullcontext(entries)):
            yield from _row(World(folder).refresh, f"{MAX_ENTRIES + 1} files")


def _kubeconfigs() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "kubeconfig"
        yield from _listed(file, "a kubeconfig that does not exist")
        for what, content in KUBECONFIGS:
            file.write_text(content)
            yield from _listed(file, what)
        file.unlink()
        file.mkdir()
        yield from _listed(file, "a kubeconfig that is a folder")
        user = {"token": f"{CANARY}\u00e4"}
        yield from _listed(kubeconfig(Path(name) / "k", "http://127.0.0.1:1", user=user), "a token that is not ASCII")


def _pods() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name, mock.patch.object(client, "SERVICE_ACCOUNT", Path(name)):
        yield from _listed("", "a pod without a service account", pod_server=POD)
        (Path(name) / "token").touch()
        yield from _listed("", "a pod whose token is empty", pod_server=POD)
        (Path(name) / "token").write_text(CANARY)
        yield from _listed("", "a pod whose service account has no ca.crt", pod_server=POD)
        (Path(name) / "ca.crt").touch()
        (Path(name) / "namespace").write_bytes(b"\xff")
        yield from _listed("", "a pod whose namespace is not UTF-8", pod_server=POD)


def _answers() -> Iterator[Row]:
    for code in STATUSES:
        yield from _answered(faults.status(code), f"the status {code}")
    for what, action in PAGES:
        yield from _answered(action, what)
    with tempfile.TemporaryDirectory() as name, KubeServer() as server:
        fill(server.store, 2)
        clock = SystemClock()
        source = KubernetesSource(target_settings(kubeconfig(Path(name) / "k", server.url)), clock)
        with contextlib.closing(source):
            known = source.refresh(None, Request(Trigger.STARTUP), Deadline(clock, 60.0))
            other = server.store.objects["default", "target-00001"].whole()
            server.fault(faults.page(other), "/api/v1/")
            one = Request(Trigger.MANUAL, scope="target-00000")
            what = "another Secret than the one of the target that is refreshed"
            yield from _row(lambda: source.refresh(known, one, Deadline(clock, 60.0)), what)


def _connections() -> Iterator[Row]:
    for what, error in BROKEN:
        found = unreachable(error)
        yield found.error_type, str(found), what


def _answered(action: Callable[[Any], bool], what: str) -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as name, KubeServer() as server:
        fill(server.store, 3)
        server.fault(action, "/api/v1/")
        yield from _listed(kubeconfig(Path(name) / "k", server.url), what)


def _listed(file: Path | str, what: str, **settings: Any) -> Iterator[Row]:
    clock = SystemClock()
    source = KubernetesSource(target_settings(file, **settings), clock)
    with contextlib.closing(source):
        yield from _row(lambda: source.refresh(None, Request(Trigger.STARTUP), Deadline(clock, 60.0)), what)


def _row(refresh: Callable[[], object], what: str) -> Iterator[Row]:
    try:
        refresh()
    except Partial as error:
        yield error.cause.error_type, str(error.cause), what
    except AttemptError as error:
        yield error.error_type, str(error), what


def _cell(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("|", "\\|")
