"""Several Alertmanagers: what they run, by what they answer; also as later versions do."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from alert_refresh.alertmanager.inputs import UNKNOWN, Capabilities
from alert_refresh.alertmanager.running.amtool import Amtool
from alert_refresh.alertmanager.running.instances import Instance, Instances, config_hash, failure, named
from alert_refresh.engine import Deadline, Permanent, SystemClock, Transient
from tests.alertmanager.server import Alertmanager, Between, Server, closed_port

if TYPE_CHECKING:
    from pathlib import Path

TEXT = b"route: {receiver: a}\nreceivers: [{name: a}]\n"
DIGEST = "0123abcd"
STATUS_25 = """\
global:
  resolve_timeout: 5m
  http_config:
    follow_redirects: true
    enable_http2: true
  smtp_hello: localhost
  smtp_require_tls: true
  pagerduty_url: https://events.pagerduty.com/v2/enqueue
  opsgenie_api_url: https://api.opsgenie.com/
  wechat_api_url: https://qyapi.weixin.qq.com/cgi-bin/
  victorops_api_url: https://alert.victorops.com/integrations/generic/20131114/alert/
  telegram_api_url: https://api.telegram.org
  webex_api_url: https://webexapis.com/v1/messages
route:
  receiver: a
  continue: false
receivers:
- name: a
- name: {marker}
templates: []
"""
"""What Debian's 0.25.0 answers as `config.original`."""
STATUS_28 = STATUS_25.replace(
    "  smtp_require_tls: true\n", "  smtp_require_tls: true\n  smtp_tls_config:\n    insecure_skip_verify: false\n"
).replace(
    "  webex_api_url: https://webexapis.com/v1/messages\n",
    "  webex_api_url: https://webexapis.com/v1/messages\n  rocketchat_api_url: https://open.rocket.chat/\n",
)
"""What Debian's 0.28.1 answers."""
STATUS_33 = (
    STATUS_28.replace("  pagerduty_url", "  slack_app_url: https://slack.com/api/chat.postMessage\n  pagerduty_url")
    .replace("- name: a\n", "- name: a\n  labels:\n    name: a\n")
    .replace("- name: {marker}\n", "- name: {marker}\n  labels:\n    name: {marker}\n")
)
"""What Debian's 0.33.1 answers."""
METRICS_25 = """\
# HELP alertmanager_build_info A metric with a constant '1' value labeled by version, revision, branch, goversion from \
which alertmanager was built, and the goos and goarch for the build.
# TYPE alertmanager_build_info gauge
alertmanager_build_info{{branch="debian/sid",goarch="amd64",goos="linux",goversion="go1.19.8",revision="0.25.0-1+b4",\
version="{version}"}} 1
# HELP alertmanager_config_hash Hash of the currently loaded alertmanager configuration.
# TYPE alertmanager_config_hash gauge
alertmanager_config_hash {hash:.17g}
# HELP alertmanager_config_last_reload_success_timestamp_seconds Timestamp of the last successful configuration reload.
# TYPE alertmanager_config_last_reload_success_timestamp_seconds gauge
alertmanager_config_last_reload_success_timestamp_seconds 1.7956665110560656e+09
# HELP alertmanager_config_last_reload_successful Whether the last configuration reload attempt was successful.
# TYPE alertmanager_config_last_reload_successful gauge
alertmanager_config_last_reload_successful {successful}
"""
"""The part of the metrics of Debian's 0.25.0 that is looked at."""
METRICS_28 = (
    METRICS_25.replace("go1.19.8", "go1.24.1")
    .replace("0.25.0-1+b4", "0.28.1+ds-1")
    .replace("version=", 'tags="unknown",version=')
    + """\
# HELP alertmanager_inhibition_rules Number of configured inhibition rules.
# TYPE alertmanager_inhibition_rules gauge
alertmanager_inhibition_rules 0
"""
)
"""That of Debian's 0.28.1; 0.33.1 differs in nothing that is looked at."""
REFUSED = b"failed to reload config: yaml: unmarshal errors:\n  line 5: field nonsense not found in type config.plain\n"
"""What all three answer, with the status 500, to a reload of a file that they refuse."""


def status(version: str, config: str, marker: str = f"alert-refresh:{DIGEST}") -> bytes:
    fields = {"config": {"original": config.replace("{marker}", marker)}, "versionInfo": {"version": version}}
    return json.dumps(fields | {"cluster": {"status": "disabled"}, "uptime": "2026-11-26T00:00:00Z"}).encode()


def metrics(version: str, text: str = METRICS_25, successful: int = 1, content: bytes = TEXT) -> bytes:
    return text.format(version=version, hash=config_hash(content), successful=successful).encode()


class Recorded(Server):
    """Answers as a version did. `answers` maps a path to status and body; others are 404."""

    def __init__(self, **answers: tuple[int, bytes]) -> None:
        self.answers = answers
        super().__init__()

    def handle_one(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        return self.answers.get(path.rpartition("/")[2], (404, b""))


def deadline(seconds: float = 60.0) -> Deadline:
    return Deadline(SystemClock(), seconds)


def instances(tmp_path: Path, *urls: str, tool: bool = False) -> Instances:
    amtool = Amtool(tmp_path / "alertmanager.yml")
    if not tool:
        amtool.path = None
    return Instances(urls, None, None, amtool, SystemClock())


@pytest.mark.parametrize(
    ("version", "config", "text", "known"),
    [
        ("0.25.0", STATUS_25, METRICS_25, Capabilities()),
        ("0.28.1+ds", STATUS_28, METRICS_28, Capabilities(http_headers=True, utf8=True)),
        ("0.33.1", STATUS_33, METRICS_28, Capabilities(http_headers=True, utf8=True)),
        # No 0.27 is packaged any more; its release notes name the metric and UTF-8 together.
        ("0.27.0", STATUS_25, METRICS_28, Capabilities(utf8=True)),
    ],
)
def test_s3_what_a_version_knows_is_seen_by_its_fields(
    tmp_path: Path, version: str, config: str, text: str, known: Capabilities
) -> None:
    with Recorded(metrics=(200, metrics(version, text)), status=(200, status(version, config))) as server:
        found = instances(tmp_path, server.url)
        seen = found.look(deadline())
        assert seen[0].version == version and seen[0].runs(TEXT, DIGEST)
        assert found.capabilities(seen, deadline()) == known
        assert found.versions() == (version,)


def test_s3_of_several_the_least_able_counts_until_one_answers_as_it_last_did(tmp_path: Path) -> None:
    new = {"metrics": (200, metrics("0.28.1", METRICS_28)), "status": (200, status("0.28.1", STATUS_28))}
    old = {"metrics": (200, metrics("0.25.0")), "status": (200, status("0.25.0", STATUS_25))}
    with Recorded(**new) as one, Recorded(**old) as other:
        found = instances(tmp_path, one.url, other.url)
        assert found.capabilities(found.look(deadline()), deadline()) == Capabilities()
        other.answers = {}
        assert found.capabilities(found.look(deadline()), deadline()) == Capabilities()
        other.answers = new
        assert found.capabilities(found.look(deadline()), deadline()) == Capabilities(True, True)


def test_of_none_that_ever_answered_nothing_is_known(tmp_path: Path) -> None:
    found = instances(tmp_path, f"http://127.0.0.1:{closed_port()}")
    seen = found.look(deadline())
    assert found.capabilities(seen, deadline()) == UNKNOWN and found.versions() == (None,)
    assert isinstance(seen[0].error, Transient)


@pytest.mark.parametrize("config", [STATUS_28, STATUS_33])
@pytest.mark.parametrize("quote", ["", "'", '"'])
def test_s5_where_metrics_are_not_served_the_marker_in_the_status_tells(
    tmp_path: Path, quote: str, config: str
) -> None:
    marker = f"{quote}alert-refresh:{DIGEST}{quote}"
    with Recorded(status=(200, status("0.28.1", config, marker))) as server:
        found = instances(tmp_path, server.url)
        [seen] = found.look(deadline())
        assert seen.version == "0.28.1" and seen.runs(TEXT, DIGEST) and not seen.runs(TEXT, "other")
        assert found.capabilities([seen], deadline()) == Capabilities(True, True)
        server.answers["status"] = (200, status("0.28.1", STATUS_28, "other"))
        [seen] = found.look(deadline())
        assert not seen.runs(TEXT, DIGEST)


def test_a_refusal_without_metrics_is_told_by_how_the_answer_begins(tmp_path: Path) -> None:
    with Recorded(status=(200, status("0.28.1", STATUS_28))) as server:
        found = instances(tmp_path, server.url)
        server.answers["reload"] = (500, b"failed to reload config: yaml: https://secret\n")
        [seen] = found.reload(found.names, deadline())
        assert seen.refused and isinstance(seen.error, Permanent) and "secret" not in str(seen.error)
        server.answers["reload"] = (500, b"oops")
        [seen] = found.reload(found.names, deadline())
        assert not seen.refused and isinstance(seen.error, Transient)
        server.answers["reload"] = (200, b"")
        [seen] = found.reload(found.names, deadline())
        assert seen.error is None
        name = found.names[0]
        assert [found.reloads[name, result] for result in ("success", "refused", "failed")] == [1, 1, 1]


@pytest.mark.parametrize(("successful", "refused"), [(0, True), (1, False)])
def test_a_500_is_a_refusal_where_the_last_reload_was_none(tmp_path: Path, successful: int, refused: bool) -> None:
    answers = {"metrics": (200, metrics("0.25.0", successful=successful)), "reload": (500, REFUSED)}
    with Recorded(**answers) as server:
        found = instances(tmp_path, server.url)
        [seen] = found.reload(found.names, deadline())
        assert seen.refused is refused and not seen.runs(TEXT, DIGEST)


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"config": null}', b"\xff", b"<html>"])
def test_something_else_answers_there(tmp_path: Path, body: bytes) -> None:
    with Recorded(metrics=(200, b"other 1\n"), status=(200, body)) as server:
        [seen] = instances(tmp_path, server.url).look(deadline())
        assert isinstance(seen.error, Permanent) and seen.error.error_type == "config"


@pytest.mark.parametrize("shown", ["NaN", "x", "+Inf", "1e400"])
def test_a_hash_that_is_no_number_fits_nothing(tmp_path: Path, shown: str) -> None:
    body = metrics("0.25.0").replace(f"{config_hash(TEXT):.15g}".encode(), shown.encode())
    with Recorded(metrics=(200, body)) as server:
        [seen] = instances(tmp_path, server.url).look(deadline())
        assert not seen.runs(TEXT, DIGEST)


def test_one_that_hangs_does_not_hold_up_the_others(tmp_path: Path) -> None:
    class Hanging(Recorded):
        def handle_one(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
            released.wait(30)
            return 200, b""

    import threading

    released = threading.Event()
    with Hanging() as slow, Recorded(metrics=(200, metrics("0.25.0"))) as quick:
        found = instances(tmp_path, slow.url, quick.url)
        late, seen = found.look(deadline(9.0))
        released.set()
    assert isinstance(late.error, Transient) and late.error.error_type == "timeout"
    assert re.search(r" within \d(\.\d)? s\Z", str(late.error)), "no digits that mean nothing"
    assert seen.error is None


def test_names_are_host_and_port_and_tell_apart_what_is_behind_the_same() -> None:
    urls = ("http://a:9093", "http://b:9093/x", "http://b:9093/y", "http://b:9093/z")
    assert list(named(urls)) == ["a:9093", "b:9093", "b:9093#2", "b:9093#3"]


class TestFailure:
    def test_there_is_none(self) -> None:
        assert failure([Instance("a")]) is None

    def test_one_that_may_pass_goes_first_and_the_others_are_counted(self) -> None:
        seen = [
            Instance("a", error=Permanent("no", "auth")),
            Instance("b"),
            Instance("c", error=Transient("away", "network", 7.0)),
        ]
        error = failure(seen)
        assert isinstance(error, Transient) and error.error_type == "network" and error.retry_after == 7.0
        assert str(error) == "Alertmanager c: away (and 1 more of 3 Alertmanagers failed)"
        error = failure(seen[:2])
        assert isinstance(error, Permanent) and str(error) == "Alertmanager a: no"


def test_the_hash_of_a_file_is_the_one_that_a_real_alertmanager_shows(
    alertmanager: Alertmanager, tmp_path: Path
) -> None:
    with Between(alertmanager) as between:
        for number in range(20):
            text = TEXT + b"# %d\n" % number
            alertmanager.file.write_bytes(text)
            found = instances(tmp_path, between.url)
            [seen] = found.reload(found.names, deadline())
            assert seen.runs(text, "") and not seen.runs(TEXT, "")
        between.answers["/metrics"] = (404, b"")
        assert found.look(deadline())[0].version == "0.25.0"


def test_a_version_that_the_tool_has_is_probed_by_it(alertmanager: Alertmanager, tmp_path: Path) -> None:
    from tests.alertmanager.amtool import amtool

    found = instances(tmp_path, alertmanager.url)
    found._amtool.path = amtool()
    seen = found.look(deadline())
    assert found.capabilities(seen, deadline()) == Capabilities()
    assert list(tmp_path.iterdir()) == []


def test_of_one_whose_status_is_not_served_nothing_is_known(tmp_path: Path) -> None:
    with Recorded(metrics=(200, metrics("0.28.1", METRICS_28))) as server:
        found = instances(tmp_path, server.url)
        seen = found.look(deadline())
        assert seen[0].error is None and found.capabilities(seen, deadline()) == UNKNOWN
        assert found.versions() == (None,)


def test_one_without_a_marker_is_not_known_to_run_a_configuration_of_an_unknown_digest() -> None:
    assert not Instance("x", marker="").runs(TEXT, "")
    assert Instance("x", marker=DIGEST).runs(TEXT, DIGEST)
    assert not Instance("x", marker=DIGEST).runs(TEXT, "")
