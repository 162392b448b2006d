from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from alert_refresh.cli import targets as cli
from alert_refresh.cli.main import main
from alert_refresh.targets.secret.fields import TYPES
from tests.cli.stub import Stub, answer, by_path
from tests.targets.folder.folders import CANARY, secret, write

if TYPE_CHECKING:
    from click.testing import Result


@pytest.fixture(autouse=True)
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TARGET_LABEL_SELECTOR", "TARGET_URL_DENY_PRIVATE", "TARGET_SOURCE"):
        monkeypatch.delenv(name, raising=False)


def run(*arguments: object, given: str | None = None) -> Result:
    command = ["targets", "validate", *map(str, arguments)]
    return CliRunner().invoke(main, command, input=given, catch_exceptions=False)


DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "targets.md"
BAD = """kind: Secret
metadata: {name: bad, namespace: team, labels: {publishing-target: "true"}}
stringData:
  config: |
    {"name": "bad", "type": "slack", "format": "slack", "uri": "https://example.com/canary-4f1c"}
"""
LINES = [
    "4: secret 'team/bad': uri: unknown_field: is no field of a target; did you mean 'url'?",
    "4: secret 'team/bad': url: schema: is required",
]
PLAIN = "kind: ConfigMap\nmetadata: {name: other}\n"


def test_good_manifests_are_counted(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", secret("one"), secret("two"))
    found = run(tmp_path / "a.yaml")
    assert found.exit_code == 0
    assert found.output == "2 valid targets, 0 faults in 0 Secrets or files, 0 objects skipped\n"


def test_every_fault_is_printed_with_its_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(BAD)
    (tmp_path / "b.yaml").write_text(f"{PLAIN}---\n" + json.dumps(secret("one")))
    found = run(tmp_path / "a.yaml", tmp_path / "b.yaml")
    assert found.exit_code == 1 and found.stderr == ""
    assert found.output.splitlines() == [
        *sorted(f"{tmp_path}/a.yaml:{line}" for line in LINES),
        f"{tmp_path}/b.yaml:1: object 'default/other': skipped: its kind is not Secret of v1 but 'ConfigMap' of 'v1'",
        "1 valid target, 2 faults in 1 Secret or file, 1 object skipped",
    ]


@pytest.mark.parametrize("as_json", [False, True])
def test_standard_input_is_yaml_or_json(as_json: bool) -> None:
    text = json.dumps({"kind": "List", "items": [secret("one")]}, indent=1) if as_json else BAD
    found = run("-", given=text)
    if as_json:
        assert found.exit_code == 0 and found.output.startswith("1 valid")
    else:
        assert found.exit_code == 1 and found.output.splitlines()[:2] == sorted(f"-:{line}" for line in LINES)


def test_json_is_one_object(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(BAD + "---\n" + PLAIN)
    found = run("--json", tmp_path / "a.yaml", tmp_path / "none.yaml")
    shown: dict[str, Any] = json.loads(found.stdout)
    assert set(shown) == {"targets", "faults", "skipped", "errors"}
    assert shown["targets"] == 0
    place = {"file": f"{tmp_path}/a.yaml", "line": 4, "namespace": "team", "secret": "bad", "document": None}
    assert place | {"field": "url", "message": "schema: is required"} in shown["faults"]
    (skipped,) = shown["skipped"]
    assert (skipped["line"], skipped["secret"]) == (7, "other") and "ConfigMap" in skipped["reason"]
    error = {"file": f"{tmp_path}/none.yaml", "error": "the file is missing", "error_type": "storage"}
    assert shown["errors"] == [error]
    assert found.exit_code == 2


@pytest.mark.parametrize(
    ("text", "status"),
    [(json.dumps(secret("one")), 0), (PLAIN + "---\n" + json.dumps(secret("one")), 1), ("# nothing\n", 1), (BAD, 1)],
)
def test_strict_fails_for_what_is_skipped_and_for_nothing(text: str, status: int) -> None:
    assert run("--strict", "-", given=text).exit_code == status
    assert run("-", given=text).exit_code == (1 if text == BAD else 0)


def test_the_settings_of_the_daemon_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    private = BAD.replace("uri", "url").replace("example.com", "10.0.0.1")
    assert run("-", given=private).exit_code == 0
    monkeypatch.setenv("TARGET_URL_DENY_PRIVATE", "true")
    found = run("-", given=private)
    assert found.exit_code == 1 and ":4: secret 'team/bad': url: url_forbidden" in found.output
    monkeypatch.setenv("TARGET_LABEL_SELECTOR", "team=a")
    found = run("-", given=private)
    assert found.exit_code == 0 and "it has no label team" in found.output


def test_an_invalid_setting_is_a_2_and_others_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TARGET_SOURCE", "directory")
    monkeypatch.setenv("TARGET_REFRESH_INTERVAL", "x")
    assert run("-", given=json.dumps(secret("one"))).exit_code == 0
    monkeypatch.setenv("TARGET_LABEL_SELECTOR", "a b")
    found = run("-", given=BAD)
    assert found.exit_code == 2 and found.stderr.startswith("TARGET_LABEL_SELECTOR=") and found.stdout == ""


def test_what_cannot_be_read_is_a_2_and_the_rest_is_checked(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(BAD)
    (tmp_path / "loop").symlink_to("loop")
    found = run(tmp_path / "none.yaml", tmp_path / "loop", tmp_path / "a.yaml")
    assert found.exit_code == 2
    assert found.stdout.splitlines()[0] == f"{tmp_path}/a.yaml:{sorted(LINES)[0]}"
    assert [line.partition(":")[0] for line in found.stderr.splitlines()] == [
        f"{tmp_path}/none.yaml",
        f"{tmp_path}/loop",
    ]
    assert run().exit_code == 2


def test_a_folder_is_read_and_a_file_that_is_named_again_is_not(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", secret("one"))
    (tmp_path / "link").symlink_to(tmp_path / "a.yaml")
    found = run(tmp_path / "a.yaml", tmp_path / "link", tmp_path / "a.yaml")
    assert (found.exit_code, found.output[:7]) == (0, "1 valid")
    assert run(tmp_path).output[:7] == "1 valid"
    (tmp_path / "broken.yaml").write_text("a: [")
    found = run(tmp_path)
    assert found.exit_code == 1 and f"{tmp_path}/broken.yaml:2: file: schema: is not valid YAML" in found.output


def test_what_controls_a_terminal_is_escaped(tmp_path: Path) -> None:
    file = tmp_path / "\x1b[31m.yaml"
    file.write_text(BAD.replace("name: bad,", 'name: "b\\e[2J\\u202ead",'))
    found = run(file)
    assert found.exit_code == 1 and "\x1b" not in found.output and "\u202e" not in found.output
    assert "\\x1b[31m.yaml:4: secret 'team/b\\x1b[2J\\u202ead'" in found.output


def test_the_documentation_shows_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pager = "kind: Secret\nmetadata: {name: pager, namespace: team, labels: {publishing-target: 'true'}}\n"
    pager += 'stringData:\n  config: |\n    {"name": "pager",\n     "type": "pagerduty"\n     "format": "pagerduty"}\n'
    good = [json.dumps(secret(name)) for name in ("one", "two")]
    (tmp_path / "a.yaml").write_text("---\n".join([BAD.replace("bad", "slack"), pager, *(f"{one}\n" for one in good)]))
    (tmp_path / "b.yaml").write_text("kind: Secret\nmetadata: {name: web, namespace: team}\n")
    monkeypatch.chdir(tmp_path)
    found = run("a.yaml", "b.yaml")
    assert found.exit_code == 1
    assert f"```\n{found.output}```\n" in DOCUMENT.read_text(), found.output


def test_no_credential_is_printed() -> None:
    for arguments in ((), ("--json",), ("--strict",)):
        assert CANARY not in run(*arguments, "-", given=BAD).output


def test_a_pipe_is_read(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, BAD.encode())
    os.close(writer)
    command = [sys.executable, "-m", "alert_refresh", "targets", "validate", f"/dev/fd/{reader}"]
    ran = subprocess.run(command, pass_fds=(reader,), capture_output=True, text=True, timeout=50, check=False)
    os.close(reader)
    assert ran.returncode == 1 and ran.stdout.startswith(f"/dev/fd/{reader}:4: secret 'team/bad'")


def test_a_path_that_is_too_long_is_a_2() -> None:
    found = run("x" * 5000)
    assert found.exit_code == 2 and found.stderr.endswith("the file cannot be read: File name too long\n")


def test_a_closed_standard_input_is_a_2() -> None:
    command = [sys.executable, "-m", "alert_refresh", "targets", "validate", "-"]
    ran = subprocess.run(
        ["sh", "-c", 'exec "$@" <&-', "sh", *command], capture_output=True, text=True, timeout=50, check=False
    )
    assert ran.returncode == 2 and "standard input" in ran.stderr


def test_the_help_shows_an_example() -> None:
    assert "| alert-refresh targets validate --strict -" in run("--help").output


TARGET: dict[str, Any] = {
    "name": "slack-platform", "type": "slack", "format": "slack", "enabled": True, "url": "https://hooks.slack.com",
    "headers": {}, "filter_config": {}, "state": "stale", "since": "2026-11-26T01:00:03Z",
    "faults": [{"field": "url", "message": "has no host"}, {"field": "type", "message": "is unknown"}],
    "source": {"namespace": "monitoring", "secret": "slack\x1b", "shape": "config"},
    "delivery": "ok", "delivery_faults": [],
}  # fmt: skip
REJECTED = {"source": {"namespace": "default", "secret": "bad"}, "faults": [{"field": "url", "message": "is required"}]}
SERVED = {
    "GET /api/v2/publishing/targets": answer({"generation": 7, "targets": [TARGET], "rejected": [REJECTED]}),
    "GET /api/v2/publishing/targets/slack-platform": answer(TARGET),
}


def test_targets_and_rejected_secrets_are_lines() -> None:
    with Stub(by_path(SERVED)) as daemon:
        found = daemon.run("targets")
    assert found.output.splitlines() == [
        "NAME             STATE      SINCE   TYPE    ENABLED   URL                       SECRET                 WHY",
        "slack-platform   stale      2m      slack   yes       https://hooks.slack.com   monitoring/slack\\x1b   "
        "url: has no host (and 1 more)",
        "-                rejected   -       -       -         -                         default/bad            "
        "url: is required",
    ]
    assert found.exit_code == 0


def test_filters_are_the_daemons_and_a_rejected_secret_has_no_type() -> None:
    with Stub(by_path(SERVED)) as daemon:
        found = daemon.run("targets", "list", "--type", "slack", "--enabled")
        daemon.run("targets", "--disabled", "-o", "json")
    assert "rejected" not in found.output
    assert [asked.path.partition("?")[2] for asked in daemon.asked] == ["type=slack&enabled=true", "enabled=false"]


def test_one_target_is_shown_and_a_token_is_sent_only_to_reveal(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("read-token-1")
    with Stub(by_path(SERVED)) as daemon:
        found = daemon.run("targets", "get", "slack-platform", "--token-file", f"{tmp_path}/token")
        daemon.run("targets", "get", "slack-platform", "--reveal", "--token-file", f"{tmp_path}/token")
        as_json = daemon.run("targets", "get", "slack-platform", "--json")
    assert "\nfaults:          url: has no host\n                 type: is unknown\n" in found.output
    assert "\nsource:          monitoring/slack\\x1b\n" in found.output
    assert found.output.endswith("delivery:        ok\ndelivery_faults: -\n")
    assert json.loads(as_json.output) == TARGET
    assert [asked.headers.get("authorization") for asked in daemon.asked[:2]] == [None, "Bearer read-token-1"]
    assert daemon.asked[1].path.endswith("?reveal=true")


def test_why_alertmanager_cannot_deliver_to_a_target_is_told() -> None:
    why = {"field": "headers", "message": "undeliverable: this Alertmanager knows no http_config.http_headers"}
    one = TARGET | {"state": "fresh", "since": None, "faults": []}
    one |= {"delivery": "undeliverable", "delivery_faults": [why, why]}
    listed = {"generation": 7, "targets": [one], "rejected": []}
    path = "GET /api/v2/publishing/targets"
    with Stub(by_path({path: answer(listed), f"{path}/slack-platform": answer(one)})) as daemon:
        assert f"headers: {why['message']} (and 1 more)\n" in daemon.run("targets").output
        found = daemon.run("targets", "get", "slack-platform").output
    assert found.endswith(f"delivery_faults: headers: {why['message']}\n{' ' * 17}headers: {why['message']}\n")


def test_an_empty_name_is_not_the_current_folder() -> None:
    found = run("")
    assert found.exit_code == 2 and "it is empty" in found.stderr


def test_the_types_of_targets_are_those_there_are() -> None:
    assert set(cli.TYPES) == set(TYPES)
