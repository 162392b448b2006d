"""Every fault of a target with an input that makes it; docs/faults.md is made of this."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

from alert_refresh.engine import Deadline, Request, SystemClock, Trigger
from alert_refresh.files.watch import DEEPEST
from alert_refresh.targets.kubernetes.source import KubernetesSource
from alert_refresh.targets.secret.parse import parse, parse_base64
from alert_refresh.targets.target import Target
from tests.faults.kubernetes import target_settings
from tests.kube import KubeServer, faults, fill, kubeconfig
from tests.targets.folder.folders import CANARY, LABELS, World, mount

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from alert_refresh.engine import Fault, Snapshot

URL = f"https://hooks.example.com/{CANARY}"
GOOD: dict[str, Any] = {"name": "a", "type": "slack", "format": "slack", "url": URL}
META = f"metadata: {{name: a, labels: {json.dumps(LABELS)}}}"

FIELDS: tuple[dict[str, Any], ...] = (
    {"name": None},
    {"name": 5},
    {"name": "A"},
    {"name": "a\n"},
    {"name": "status"},
    {"type": "fax"},
    {"type": "Slack"},
    {"type": "slack\n"},
    {"format": "webhook"},
    {"enabled": "false"},
    {"enable": False},
    {"note": "x"},
    {f"zz{n}": 1 for n in range(21)},
    {"headers": []},
    {"headers": {"a b": "x"}},
    {"headers": {"Host": "x"}},
    {"headers": {"A": "x", "a": "x"}},
    {"headers": {"A": 5}},
    {"headers": {"A": "x\n"}},
    {"headers": {"A": ""}},
    {"headers": {f"h{n}": "x" for n in range(101)}},
    {"filter_config": []},
)
"""Changes to a good `config`."""
TEXTS = (
    "",
    "[]",
    '{"name": "a", // mine\n}',
    '{"name": "a",}',
    "{'name': 'a'}",
    '{"enabled": yes}',
    '{"expires": NaN}',
    '{"expires": 2025-11-25}',
    '{"name" "a"}',
    '{"name": "a"',
    '{"name": "a',
    '{"name": "a\nb"}',
    '{"name": "\\x"}',
    '{"name": "a"} {}',
    '{"name": "a", "name": "b"}',
    '{"filter_config": {"n": -0}}',
    '{"filter_config": {"n": 1' + "0" * 5000 + "}}",
    '{"name": "\\ud800"}',
    "[" * 65 + "]" * 65,
    "[" + "0," * 50_000 + "0]",
    " " * (1 << 20) + "{}",
    "\ufeff{}",
    "{\0}",
)
"""Values of the key `config`."""
URLS = (
    "hooks.example.com",
    "https://",
    "https://.",
    "ftp://example.com",
    "https://user:password@example.com",
    "https://example.com/a b",
    "https://https://hooks.example.com",
    "https://example.com\n",
    "${SLACK_URL}",
    "https://example.com/a\u200bb",
    "https://a]b/",
    "https://[::g]/",
    "https://[1::2::3]/",
    "https://a..b/",
    "https://example.com:99999/",
    "http://169.254.169.254/",
    "http://metadata.google.internal/",
    "https://example.com/" + "x" * 8192,
)
PRIVATE = ("http://alertmanager.monitoring.svc/", "http://10.0.0.1/")
"""Refused with TARGET_URL_DENY_PRIVATE=true."""
KEYS: tuple[dict[str, Any], ...] = (
    {"config.json": "{}"},
    {"password": "x"},
    {"type": "slack", "url": URL + "\n"},
    {"type": "slack", "url": URL, "api-key": "x"},
    {"webhook-url": URL, "auth_header": "x"},
    {"type": "slack", "url": URL, "api_key": " "},
    {"type": "slack", "url": URL, "api_key": "x "},
    {"type": "slack", "url": URL, "api_key": f"Bearer {CANARY}"},
    {"webhook-url": URL, "token": f"Token {CANARY}"},
    {"webhook-url": URL, "api-key": "x", "token": "y"},
    {"target": json.dumps(GOOD | {"filters": {}, "filter_config": {}})},
    {"type": "slack", "url": URL, "headers": "just words"},
    {"type": "slack", "url": URL, "headers": f"A: {CANARY}, B: x"},
    {"type": "slack", "url": URL, "enabled": "maybe"},
    {"webhook-url": URL, "min-confidence": "high"},
    {"type": "slack", "url": base64.b64encode(URL.encode()).decode()},
    {"config": base64.b64encode(json.dumps(GOOD).encode()).decode()},
    {"type": "slack", "url": b"\xff"},
    {"type": "slack", "webhook-url": URL},
    {"config": "ENC[AES256_GCM,data:Zm9v,type:str]"},
)
"""Keys of a Secret with their values, decoded."""
YAML = (
    "",
    "kind: Secret\n  x: {",
    "kind: Secret\nkind: Secret",
    "kind: Secret\n1: x",
    "kind: Secret\nx: !env A",
    "kind: !env Secret",
    "x: !env {}",
    "x: !env []",
    "kind: Secret\nx: *a",
    "kind: Secret\n<<: x",
    "- a",
    "a: b",
    "kind: List\nitems: {}",
    "kind: Secret\nmetadata: {labels: {publishing-target: 'true'}}",
    f"kind: Secret\n{META}\ndata: []",
    f"kind: Secret\n{META}\nstringData: {{config: 5}}",
    f"kind: Secret\n{META}\ndata: {{config: '!'}}",
    f"kind: Secret\n{META}\ndata: {{config: '{{}}'}}".replace("{}", '{"name": "a"}'),
    f"kind: Secret\n{META}\nStringData: {{config: x}}",
    "a: " + "[" * 65 + "]" * 65,
    "a: [&x [" + "a, " * 200 + "], " + "*x, " * 60 + "]",
    "a: [" + "a, " * 1_000_001 + "]",
    "a: \0",
    "a: \udcff",
)
"""Manifest files."""
JSON = ('{"kind": "Secret", "kind": "Secret"}', '{"kind": }', "[" * 200_000, "[" + "0," * 1_000_001 + "0]")


PLACED: dict[str, Callable[[Path], object]] = {
    "a.yaml: a FIFO": lambda folder: os.mkfifo(folder / "a.yaml"),
    "a.yaml: a symlink to /etc/passwd": lambda folder: (folder / "a.yaml").symlink_to("/etc/passwd"),
    "a.yaml: a symlink to itself": lambda folder: (folder / "a.yaml").symlink_to("a.yaml"),
    "a.yaml: a symlink to nothing": lambda folder: (folder / "a.yaml").symlink_to("none"),
    "x: 17 folders within one another": lambda folder: (folder / "/".join("x" * (DEEPEST + 1))).mkdir(parents=True),
}
"""What is where a manifest is expected."""


@cache
def rows() -> tuple[tuple[str, str, Fault], ...]:
    """What the input is, the input as it is shown, and each fault that comes of it."""
    return tuple(_rows())


def _rows() -> Iterator[tuple[str, str, Fault]]:
    for change in FIELDS:
        config = {key: value for key, value in (GOOD | change).items() if value is not None}
        yield from _of("`config`", json.dumps(config), _parsed({"config": json.dumps(config)}))
    for text in TEXTS:
        yield from _of("`config`", text, _parsed({"config": text}))
    for url in URLS:
        yield from _of("`url`", url, _parsed({"config": json.dumps(GOOD | {"url": url})}))
    for url in PRIVATE:
        yield from _of(
            "`url`, private ones denied", url, _parsed({"config": json.dumps(GOOD | {"url": url})}, deny_private=True)
        )
    for keys in KEYS:
        shown = {key: value if isinstance(value, str) else "\\xff" for key, value in keys.items()}
        yield from _of("keys of a Secret", json.dumps(shown), _parsed(keys))
    yield from _of("`data`", '{"config": 5}', parse_base64({"config": 5}, namespace="ns", secret="s"))
    for text in YAML:
        yield from _of("YAML file", text, _rejected("a.yaml", text))
    for text in JSON:
        yield from _of("JSON file", text, _rejected("a.json", text))
    yield from _of("two manifests", "the same Secret twice", _twice())
    yield from _of("two Secrets", "the same name twice", _twice("b"))
    yield from _of("subfolder", "a symlink to /etc", _leads_out())
    yield from _of("file", "one of 17 MiB", _rejected("a.yaml", "#" * (17 << 20)))
    yield from _of("mounted Secret", "one with a key `password` alone", _mounted({"password": b"x"}))
    yield from _of("mounted Secret", "one with 1001 keys", _mounted({f"key{n}": b"" for n in range(1001)}))
    yield from _of("mounted Secret", "two keys of 9 MiB", _mounted(dict.fromkeys("ab", b"#" * (9 << 20))))
    for what, how in PLACED.items():
        yield from _of("file" if ".yaml" in what else "subfolder", what.partition(": ")[2], _placed(how))
    yield from _of("file", "one that is being written at the first refresh", _being_written())
    yield from _of("`config`", "a defect of this program", _defect())
    yield from _of("answer of an API server", '"data": []', _answered())


def table() -> str:
    """The rows as a table, one for each different message."""
    lines = ["| field | message | made by | for example |", "|---|---|---|---|"]
    seen = set()
    for what, given, fault in sorted(rows(), key=lambda row: (row[2].message, row[0], row[1])):
        if fault.message not in seen:
            seen.add(fault.message)
            lines.append(f"| {_cell(fault.field)} | {_cell(fault.message)} | {what} | {_code(given)} |")
    return "\n".join(lines) + "\n"


def _of(what: str, given: str, found: Target | tuple[Fault, ...]) -> Iterator[tuple[str, str, Fault]]:
    assert not isinstance(found, Target) and found, (what, given[:100])
    for fault in found:
        yield what, given, fault


def _parsed(keys: dict[str, Any], *, deny_private: bool = False) -> Target | tuple[Fault, ...]:
    values = {key: one.encode("utf-8", "surrogatepass") if isinstance(one, str) else one for key, one in keys.items()}
    return parse(values, namespace="ns", secret="s", deny_private=deny_private)


def _faults(snapshot: Snapshot[Target]) -> tuple[Fault, ...]:
    return tuple(fault for one in snapshot.rejected for fault in one.faults)


def _rejected(name: str, text: str) -> tuple[Fault, ...]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(text.encode("utf-8", "surrogateescape"))
        return _faults(World(Path(folder)).refresh())


def _manifest(name: str) -> str:
    metadata = {"name": name, "labels": LABELS}
    return json.dumps({"kind": "Secret", "metadata": metadata, "stringData": {"config": json.dumps(GOOD)}})


def _twice(other: str = "a") -> tuple[Fault, ...]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.yaml").write_text(_manifest("a") + "\n---\n" + _manifest(other))
        return _faults(World(Path(folder)).refresh())


def _leads_out() -> tuple[Fault, ...]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "link").symlink_to("/etc")
        return _faults(World(Path(folder)).refresh())


def _mounted(values: dict[str, bytes]) -> tuple[Fault, ...]:
    with tempfile.TemporaryDirectory() as folder:
        mount(Path(folder) / "team", "..1", values)
        return _faults(World(Path(folder)).refresh())


def _placed(how: Callable[[Path], object]) -> tuple[Fault, ...]:
    with tempfile.TemporaryDirectory() as folder:
        how(Path(folder))
        return _faults(World(Path(folder)).refresh())


def _being_written() -> tuple[Fault, ...]:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        world.clock.wall_offset = time.time()
        (Path(folder) / "a.yaml").write_text(_manifest("a"))
        with mock.patch.object(Deadline, "wait"):
            return _faults(world.refresh())


def _defect() -> tuple[Fault, ...]:
    with mock.patch("alert_refresh.targets.folder.manifest.parse_base64", side_effect=RuntimeError(CANARY)):
        return _rejected("a.yaml", _manifest("a"))


def _answered() -> tuple[Fault, ...]:
    def spoilt(page: dict[str, Any]) -> None:
        page["items"][0]["data"] = []

    with tempfile.TemporaryDirectory() as folder, KubeServer() as server:
        server.protobuf = False
        fill(server.store, 1)
        server.fault(faults.edited(spoilt), "/api/v1/")
        clock = SystemClock()
        source = KubernetesSource(target_settings(kubeconfig(Path(folder) / "k", server.url)), clock)
        with contextlib.closing(source):
            return _faults(source.refresh(None, Request(Trigger.STARTUP), Deadline(clock, 60.0)))


def _code(text: str) -> str:
    if text in ("", " "):
        return "nothing"
    written = ascii(text)[1:-1].replace(CANARY, "T0")
    return f"<code>{_cell(written[:90] + ('...' if len(written) > 90 else ''))}</code>"


def _cell(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("|", "\\|")
