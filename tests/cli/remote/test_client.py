"""What a command says when a daemon does not answer, refuses, or is something else; and what it sends."""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

import pytest

from alert_refresh.cli.options import RESERVED, ROUTES, own_token
from alert_refresh.cli.remote import client as module
from alert_refresh.cli.remote.client import Client, Failed
from alert_refresh.cli.remote.connection import Connection
from alert_refresh.cli.remote.server_url import ServerUrl, parse
from alert_refresh.rules import rule
from alert_refresh.targets.secret.fields import RESERVED_NAMES
from alert_refresh.web.errors import WORDS
from alert_refresh.web.views.uniform import ViewName
from tests.cli.stub import REQUEST_ID, Asked, Stub, answer, by_path, raw, refusal, run
from tests.kube.certs import Authority

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

TOKEN = "canary-9d1f"
GOOD = answer({"generation": 1, "rules": []})
ERRORS: Mapping[str, tuple[bytes, int, str]] = {
    "401": (refusal(401, "unauthorized", "A valid bearer token is required"), 4, "A valid bearer token is required"),
    "403": (refusal(403, "forbidden", "The token does not allow this"), 4, "The token does not allow this"),
    "409": (refusal(409, "proposal_not_held", "None is held"), 5, "None is held"),
    "429": (refusal(429, "rate_limit_exceeded", "Max 1", Retry_After="42"), 6, "Max 1; try again in 42 s"),
    "503": (refusal(503, "not_loaded", "No rules yet", Retry_After="7"), 6, "No rules yet; try again in 7 s"),
    "503 without a time": (refusal(503, "not_loaded", "No rules yet"), 6, "No rules yet\n"),
    "500": (refusal(500, "internal_error", "An error"), 1, f"An error (request {REQUEST_ID})"),
    "400": (refusal(400, "invalid_request", "Unknown query parameter"), 1, "Unknown query parameter"),
}
STRANGERS: Mapping[str, tuple[bytes, str]] = {
    "a page": (raw(b"<html>", Content_Type="text/html"), "answered 200 with text/html, which is not alert-refresh"),
    "a page of errors": (raw(b"<html>", 404, Content_Type="text/html"), "is the path of the URL right?"),
    "a proxy": (raw(b"<html>", 502, Content_Type="text/html"), "a proxy that does not reach it?"),
    "nothing": (raw(b""), "answered 200 with no content type"),
    "a list": (answer([1]), "answered 200 with application/json, which is not alert-refresh"),
    "JSON of another program": (answer({"detail": "Not Found"}, 404), "which is not alert-refresh"),
    "malformed JSON": (raw(b"{", Content_Type="application/json"), "answered 200 with malformed JSON"),
    "a redirect": (raw(b"", 308, Location="https://x/"), "answered 308, a redirect; set ALERT_REFRESH_URL to where"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", "answered something that is not HTTP"),
    "the end": (b"", "closed the connection without an answer; is it https?"),
    "half an answer": (GOOD[:-3], "was lost: it was closed"),
}


@pytest.mark.parametrize("name", ERRORS)
def test_an_error_is_told_in_its_own_words_with_an_exit_status(name: str) -> None:
    answered, status, said = ERRORS[name]
    with Stub(lambda _: answered) as stub:
        found = stub.run("rules")
    assert (found.exit_code, found.stdout) == (status, "")
    assert found.stderr.startswith(f"Error: {said}".rstrip("\n")), found.stderr
    assert found.stderr.count("\n") == 1


@pytest.mark.parametrize("name", STRANGERS)
def test_what_is_not_alert_refresh_is_told_and_is_a_3(name: str) -> None:
    answered, said = STRANGERS[name]
    with Stub(lambda _: answered) as stub:
        found = stub.run("rules")
    assert (found.exit_code, found.stdout) == (3, "")
    assert said in found.stderr and stub.url in found.stderr and found.stderr.count("\n") == 1


COMMANDS = (
    "status", "targets", "targets get x", "rules", "rules get x", "rules match", "views", "views get x", "refreshes",
    "refreshes get x", "refresh targets", "refresh", "approve targets 1", "reject rules 1", "status targets",
)  # fmt: skip
NESTED = b'{"a":' * 200_000 + b"1" + b"}" * 200_000


@pytest.mark.parametrize("command", COMMANDS)
def test_json_of_another_program_is_told_and_is_a_3(command: str) -> None:
    kinds = {"kinds": 1, "targets": [1], "rules": [{}], "views": [{"name": []}], "refreshes": [{"kind": "x"}]}
    odd = kinds | {"status": "ok", "name": "x", "id": "x", "message": "x", "request_id": "x", "names": [1], "faults": 1}
    for answered in (answer({}), answer(odd), raw(NESTED, Content_Type="application/json"), answer({}, 202)):
        with Stub(lambda _, answered=answered: answered) as stub:  # type: ignore[misc]
            found = stub.run(*command.split())
        assert (found.exit_code, found.stdout) == (3, ""), found.exception
        assert found.stderr.startswith(f"Error: {stub.url} answered 20") and found.stderr.count("\n") == 1
        assert "which is not alert-refresh" in found.stderr or "malformed JSON" in found.stderr


def test_a_404_is_about_a_name_only_if_one_was_asked_for() -> None:
    """Anything else has an address wherever alert-refresh is: the prefix in the URL is wrong."""
    with Stub(lambda _: refusal(404, "not_found", "Rule not found")) as stub:
        codes = [stub.run(*command.split()).exit_code for command in COMMANDS]
    assert codes == [5 if " get " in command else 3 for command in COMMANDS]
    with Stub(by_path({})) as stub:
        found = [stub.run(*command.split()) for command in COMMANDS]
    assert {one.exit_code for one in found} == {3}
    said = f"Error: {stub.url} answered 404, which is not alert-refresh; is the path of the URL right?\n"
    assert {one.stderr for one in found} == {said}
    assert WORDS[404][1] == module.NO_ROUTE, "the daemon's own words"


@pytest.mark.parametrize("name", ["status", "refresh", "approve", "reject", "", ".", "..", "a/b"])
def test_what_can_be_no_name_is_a_5_without_asking(name: str) -> None:
    with Stub(lambda _: GOOD) as stub:
        for command in (["targets", "get"], ["rules", "get"], ["refresh", "targets"]):
            found = stub.run(*command, name)
            assert (found.exit_code, found.stderr) == (5, "Error: There is nothing of this name\n")
    assert stub.asked == []


def test_the_names_that_are_routes_are_those_of_the_daemon() -> None:
    assert RESERVED[ROUTES["targets"]] == RESERVED_NAMES
    assert RESERVED[ROUTES["rules"]] == rule.ROUTES
    for name in RESERVED[ROUTES["views"]]:
        assert not re.fullmatch(ViewName.regex, name)
    assert re.fullmatch(ViewName.regex, "approve")


@pytest.mark.parametrize(
    "command",
    [
        ["targets", "get", "\udcff"],
        ["rules", "get", "a\udcff"],
        ["approve", "targets", "\udcff"],
        ["rules", "list", "--family", "\udcff"],
        ["refreshes", "list", "--since", "\udcff"],
        ["refresh", "targets", "\udcff"],
        ["rules", "match", "a=b", "a=\udcff"],
        ["events", "--after", "\udcff"],
        ["events", "--after", "x\r\nX-Evil: 1"],
        ["events", "--after", "é"],
    ],
)
def test_text_that_cannot_be_sent_is_a_2(command: list[str]) -> None:
    with Stub(lambda _: GOOD) as stub:
        found = stub.run(*command)
    assert found.exit_code == 2 and "Error: Invalid value for " in found.stderr and stub.asked == []


def test_a_name_may_have_any_character() -> None:
    with Stub(lambda _: refusal(404, "not_found", "Rule not found")) as stub:
        assert stub.run("rules", "get", "é%00 \u202e").exit_code == 5
    assert stub.paths == ["GET /api/v2/rules/%C3%A9%2500%20%E2%80%AE"]


@pytest.mark.parametrize(
    "message", ["Targets are off: set X", "Alertmanager is off: set X", "Rule refresh is off: set X"]
)
def test_a_kind_that_is_off_is_not_to_be_asked_again(message: str) -> None:
    with Stub(lambda _: refusal(503, "not_loaded", message, Retry_After="25")) as stub:
        found = stub.run("rules")
        asked = stub.run("refresh", "rules", "--wait")
    assert (found.exit_code, found.stderr) == (6, f"Error: {message}\n")
    assert (asked.exit_code, asked.stderr) == (6, f"rules: {message}\n")


def test_the_words_of_a_server_control_no_terminal() -> None:
    with Stub(lambda _: refusal(403, "not_found", "a\x1b[2J\r\n\u202eb")) as stub:
        found = stub.run("rules")
    assert found.stderr == "Error: a\\x1b[2J\\r\\n\\u202eb\n"


def test_nothing_listening_is_a_3_and_says_what_to_look_at() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    found = run("rules", "--url", url)
    assert found.exit_code == 3
    hint = "does the daemon run, and is ALERT_REFRESH_URL its address?"
    assert found.stderr == f"Error: Cannot connect to {url}: Connection refused; {hint}\n"


def test_a_missing_socket_is_a_3(tmp_path: Path) -> None:
    found = run("rules", ALERT_REFRESH_URL=f"unix:{tmp_path}/none")
    assert found.exit_code == 3 and "No such file or directory; does the daemon run" in found.stderr


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (socket.gaierror(-2, "canary"), "Cannot connect to http://x: no such host"),
        (UnicodeError("canary"), "Cannot connect to http://x: the host is not a name"),
        (TimeoutError("canary"), "http://x did not answer within 10 s"),
        (OSError(113, "canary"), "Cannot connect to http://x: No route to host"),
    ],
    ids=["name", "idna", "timeout", "route"],
)
def test_why_there_is_no_connection_is_told(monkeypatch: pytest.MonkeyPatch, error: Exception, said: str) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr(Connection, "connect", fail)
    with pytest.raises(Failed) as failed:
        Client(parse("http://x")).get("/", dict)
    assert (failed.value.message, failed.value.exit_code) == (said, 3)


def test_a_daemon_that_does_not_answer_is_given_up() -> None:
    stopped = threading.Event()

    def silent(_: Asked) -> bytes:
        stopped.wait(20)
        return b""

    def half(_: Asked) -> Iterator[bytes]:
        yield b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"
        yield silent(_)

    with Stub(silent) as first, Stub(half) as second:
        with pytest.raises(Failed, match=r"did not answer within 0.05 s"):
            Client(parse(first.url)).get("/x", dict, timeout=0.05)
        with pytest.raises(Failed, match="did not end in time"):
            Client(parse(second.url)).get("/x", dict, timeout=2.0)
        stopped.set()


def test_an_answer_that_is_too_large_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with Stub(lambda _: raw(b"x" * 9, Content_Type="application/json")) as stub:
        monkeypatch.setattr(module, "LARGEST", 8)
        with pytest.raises(Failed, match="is larger than 8 bytes"):
            Client(parse(stub.url)).get("/", dict)


def test_only_the_address_is_in_a_message_and_no_path() -> None:
    with Stub(lambda _: b"") as stub:
        found = run("rules", ALERT_REFRESH_URL=f"{stub.url}/{TOKEN}/")
    assert stub.paths == [f"GET /{TOKEN}/api/v2/rules"]
    assert stub.url in found.stderr and TOKEN not in found.stderr


def test_tls_is_verified_by_the_standard_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority.create(tmp_path / "ca")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    with Stub(lambda _: GOOD, tls=authority.server()) as stub:
        assert stub.run("rules").exit_code == 0
        assert stub.run("rules", "--url", stub.url.replace("127.0.0.1", "localhost")).exit_code == 0
        monkeypatch.setenv("SSL_CERT_FILE", str(Authority.create(tmp_path / "other").ca))
        found = stub.run("rules")
        assert found.exit_code == 3 and "its certificate is not trusted: " in found.stderr
        assert "SSL_CERT_FILE names a file of trusted CAs" in found.stderr
    assert len(stub.asked) == 2, "nothing was sent to the server that is not trusted"
    with Stub(lambda _: GOOD) as plain:
        found = run("rules", "--url", plain.url.replace("http:", "https:"))
    assert found.exit_code == 3 and "it does not speak TLS, or another version; is it http?" in found.stderr
    with Stub(lambda _: GOOD, tls=authority.server("again")) as stub:
        found = run("rules", "--url", stub.url.replace("https:", "http:"))
    assert found.exit_code == 3 and "is it https?" in found.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_it_speaks_to_either_protocol_of_the_internet(host: str) -> None:
    with Stub(lambda _: GOOD, host=host) as stub:
        assert stub.run("rules").exit_code == 0
    assert stub.asked[0].headers["host"] == stub.url.removeprefix("http://")


def test_it_speaks_to_a_socket_as_the_daemon_names_it(tmp_path: Path) -> None:
    with Stub(lambda _: GOOD, path=tmp_path / "s") as stub:
        assert stub.run("rules").exit_code == 0
        assert run("rules", ALERT_REFRESH_BIND=f"unix:{tmp_path}/s").exit_code == 0
    assert stub.paths == ["GET /api/v2/rules"] * 2


def test_a_url_goes_before_the_address_of_the_daemon_of_this_machine() -> None:
    with Stub(lambda _: GOOD) as stub, Stub(lambda _: GOOD) as other:
        assert stub.run("rules", ALERT_REFRESH_BIND=other.url.removeprefix("http://")).exit_code == 0
        assert run("rules", ALERT_REFRESH_BIND=other.url.removeprefix("http://")).exit_code == 0
        assert run("rules", "--url", stub.url, ALERT_REFRESH_URL="http://127.0.0.1:1").exit_code == 0
    assert (len(stub.asked), len(other.asked)) == (2, 1)


@pytest.mark.parametrize("value", ["ftp://x", "http://", "nonsense", '"http://x"', f"http://{TOKEN}@x"])
def test_a_bad_address_is_a_2_and_is_not_shown(value: str) -> None:
    found = run("rules", ALERT_REFRESH_URL=value)
    assert found.exit_code == 2 and "ALERT_REFRESH_URL" in found.stderr
    assert TOKEN not in found.stderr and "nonsense" not in found.stderr


def token_file(folder: Path, text: str = f"{TOKEN}\nold-token-1\n") -> str:
    (folder / "token").write_text(text)
    return str(folder / "token")


ACCEPTED = {"message": "x", "request_id": REQUEST_ID, "refresh_started_at": "2026-11-26T01:02:03Z"}
REFRESH = by_path({"POST /api/v2/rules/refresh": answer(ACCEPTED, 202)})


def test_the_token_is_sent_with_what_needs_it_and_nothing_else(tmp_path: Path) -> None:
    script = by_path({"GET /api/v2/rules": GOOD, "POST /api/v2/rules/refresh": answer(ACCEPTED, 202)})
    with Stub(script) as stub:
        assert stub.run("rules", ALERT_REFRESH_CLIENT_TOKEN_FILE=token_file(tmp_path)).exit_code == 0
        assert stub.run("refresh", "rules", ALERT_REFRESH_CLIENT_TOKEN_FILE=token_file(tmp_path)).exit_code == 0
        assert stub.run("refresh", "rules", "--token-file", token_file(tmp_path)).exit_code == 0
        assert stub.run("refresh", "rules").exit_code == 0
    sent = [asked.headers.get("authorization") for asked in stub.asked]
    assert sent == [None, f"Bearer {TOKEN}", f"Bearer {TOKEN}", None]


def test_the_daemons_own_token_is_sent_to_this_machine_only(tmp_path: Path) -> None:
    """In a container the daemon's variables are those of the command too."""
    with Stub(REFRESH) as stub:
        assert stub.run("refresh", "rules", ALERT_REFRESH_ADMIN_TOKEN_FILE=token_file(tmp_path)).exit_code == 0
    assert stub.asked[0].headers["authorization"] == f"Bearer {TOKEN}"
    file = tmp_path / "token"
    for url in ("http://192.0.2.1:8080", "https://alerts.example.com/x/", "http://[2001:db8::1]:8080"):
        assert own_token(parse(url), file) is None
    for url in ("http://127.0.0.1:8080", "unix:/run/x.sock", "[::1]:8080", "0.0.0.0:8080", "localhost:8080"):
        assert own_token(parse(url), file) == file


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "the token file holds no token"), (f"Bearer {TOKEN}", "token 1 of the token file begins with 'Bearer'")],
)
def test_a_token_file_that_cannot_be_used_is_a_2(tmp_path: Path, text: str, said: str) -> None:
    with Stub(REFRESH) as stub:
        found = stub.run("refresh", "rules", "--token-file", token_file(tmp_path, text))
        missing = stub.run("refresh", "rules", "--token-file", f"{tmp_path}/none")
    assert found.exit_code == 2 and said in found.stderr and TOKEN not in found.stderr
    assert missing.exit_code == 2 and "the token file is missing" in missing.stderr
    assert stub.asked == []


def test_a_401_says_which_token_was_sent(tmp_path: Path) -> None:
    with Stub(lambda _: refusal(401, "unauthorized", "A valid bearer token is required")) as stub:
        without = stub.run("refresh", "rules")
        wrong = stub.run("refresh", "rules", "--token-file", token_file(tmp_path))
    assert without.exit_code == wrong.exit_code == 4
    assert "required; set ALERT_REFRESH_CLIENT_TOKEN_FILE to a file that holds one" in without.stderr
    assert f"required; the first one in '{tmp_path}/token' is not" in wrong.stderr and TOKEN not in wrong.stderr


def test_ages_count_from_the_clock_of_the_daemon() -> None:
    with Stub(lambda _: GOOD) as stub:
        assert Client(parse(stub.url)).get("/", dict).now == 1795654923.0
    plain = GOOD.replace(b"Date:", b"X-Date:")
    for answered in (plain, GOOD.replace(b"Date: Thu, 26 Nov", b"Date: nonsense, 99 Nov")):
        with Stub(lambda _, answered=answered: answered) as stub:  # type: ignore[misc]
            assert Client(parse(stub.url)).get("/", dict).now > 1e9


def test_a_body_is_json() -> None:
    with Stub(lambda _: answer({})) as stub:
        Client(parse(stub.url)).ask("POST", "/x", {"a": "b c"}, body={"labels": {}})
    [asked] = stub.asked
    assert (asked.path, json.loads(asked.body), asked.headers["content-type"]) == (
        "/x?a=b+c",
        {"labels": {}},
        "application/json",
    )


def test_a_file_of_cas_that_cannot_be_read_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError(13, "canary")

    monkeypatch.setattr(ssl, "create_default_context", fail)
    with pytest.raises(Failed, match="SSL_CERT_FILE names cannot be used: Permission denied"):
        Client(ServerUrl("x", 443, tls=True)).get("/", dict)


def test_an_error_of_a_kind_that_has_no_words_is_the_end() -> None:
    assert module.reason(ConnectionError()) == "it was closed"


def test_pausing_takes_no_longer_than_asked_for() -> None:
    module.pause(0)
    module.pause(-1)
