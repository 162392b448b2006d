"""HTTP/1.1 as specified by RFC 9110 and RFC 9112, against the real server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.faults.test_h_server import parts
from tests.process.program import Program, raw, read_all

if TYPE_CHECKING:
    from collections.abc import Iterator

LINE = b"GET /healthz HTTP/1.1\r\n"
NEXT = b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
STATUS = "/api/v2/publishing/targets/status"


@pytest.fixture(scope="module")
def program() -> Iterator[Program]:
    with Program("tests.process.scripted", '["ok"]', "60", env={"ALERT_REFRESH_THREADS": "4"}) as one:
        one.wait_for("Serving")
        one.wait_for("Targets refreshed")
        yield one


@pytest.mark.parametrize(
    "fields",
    [
        b"",
        b"X-Host: x\r\n",
        b"Host: x\r\nHost: x\r\n",
        b"Host: x\r\nhost: y\r\n",
        b"Host: a b\r\n",
        b"Host: a, b\r\n",
        b"Host: a,b\r\n",
        b"Host: a/b\r\n",
        b"Host: user@a\r\n",
        b"Host: http://a\r\n",
        b"Host: a:b\r\n",
        b"Host: a:80:80\r\n",
        b"Host: a?b\r\n",
        b"Host: [::1\r\n",
        b"Host: ::1\r\n",
        b"Host: [x]\r\n",
        b"Host: a%zz\r\n",
        b"Host: \xe4\r\n",
        b"Host: a\\b\r\n",
        b'Host: "a"\r\n',
        b"Host: a#b\r\n",
    ],
)
@pytest.mark.parametrize("line", [LINE, LINE.replace(b"/healthz", b"/metrics"), LINE.replace(b"1.1", b"1.7")])
def test_a_missing_malformed_or_second_host_is_refused(program: Program, line: bytes, fields: bytes) -> None:
    answer = raw(program, line + fields + b"\r\n" + NEXT)
    status, headers, body = parts(answer)
    assert (status, headers["connection"]) == (400, "close"), answer
    assert json.loads(body)["error"] == "invalid_request"
    assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b"x",
        b"x:80",
        b"x:",
        b"127.0.0.1:8080",
        b"[::1]",
        b"[::1]:80",
        b"[v1.a:b]",
        b"a_b.c-d~e",
        b"%C3%A4.x",
        b"X.Y.",
    ],
)
def test_a_valid_host_of_any_form_is_accepted_and_means_nothing(program: Program, host: bytes) -> None:
    answer = raw(program, LINE + b"Host: " + host + b"\r\nConnection: close\r\n\r\n")
    assert parts(answer)[0] == 200
    assert host == b"" or host == b"x" or host not in answer


@pytest.mark.parametrize("fields", [b"", b"Host: x\r\n"])
def test_http_1_0_needs_no_host(program: Program, fields: bytes) -> None:
    assert parts(raw(program, LINE.replace(b"1.1", b"1.0") + fields + b"\r\n"))[0] == 200


def test_a_malformed_host_is_refused_in_http_1_0_too(program: Program) -> None:
    assert parts(raw(program, LINE.replace(b"1.1", b"1.0") + b"Host: a b\r\n\r\n"))[0] == 400


@pytest.mark.parametrize(
    "fields",
    [
        b"Connection: close\r\n",
        b"Connection: x, close\r\n",
        b"Connection: close, x\r\n",
        b"Connection: keep-alive, close\r\n",
        b"Connection: Keep-Alive,\tCLOSE \r\n",
        b"Connection: x\r\nConnection: close\r\n",
        b"Connection: keep-alive\r\nconnection: Close\r\n",
        b"Connection: ,, close,\r\n",
    ],
)
def test_close_among_the_options_of_a_connection_closes_it(program: Program, fields: bytes) -> None:
    answer = raw(program, LINE + b"Host: x\r\n" + fields + b"\r\n" + NEXT)
    assert parts(answer)[1]["connection"] == "close"
    assert answer.count(b"HTTP/1.1 ") == 1, "what followed was answered too"


@pytest.mark.parametrize(
    "fields", [b"", b"Connection: closed\r\n", b"Connection: x-close, disclose\r\n", b"Connection:\r\n"]
)
def test_other_options_keep_it(program: Program, fields: bytes) -> None:
    answer = raw(program, LINE + b"Host: x\r\n" + fields + b"\r\n" + NEXT)
    assert parts(answer)[1]["connection"] == "keep-alive"
    assert answer.count(b"HTTP/1.1 200") == 2


@pytest.mark.parametrize(
    ("fields", "kept"),
    [
        (b"", False),
        (b"Connection: keep-alive\r\n", True),
        (b"Connection: x, Keep-Alive\r\n", True),
        (b"Connection: keep-alive, close\r\n", False),
    ],
)
def test_http_1_0_is_kept_only_when_asked_for(program: Program, fields: bytes, kept: bool) -> None:
    answer = raw(program, LINE.replace(b"1.1", b"1.0") + fields + b"\r\n" + NEXT)
    assert answer.count(b" 200 OK") == 1 + kept
    assert parts(answer)[1]["connection"] == ("keep-alive" if kept else "close")


@pytest.mark.parametrize("version", [b"1.2", b"1.9"])
@pytest.mark.parametrize("path", [b"/healthz", b"/metrics", b"/nothing"])
def test_a_later_version_is_answered_as_1_1(program: Program, version: bytes, path: bytes) -> None:
    answer = raw(program, b"GET " + path + b" HTTP/" + version + b"\r\nHost: x\r\n\r\n" + NEXT)
    assert answer.count(b"HTTP/1.1 ") == 2
    assert b"HTTP/" + version not in answer
    assert parts(answer)[1]["connection"] == "keep-alive"


@pytest.mark.parametrize(
    "version", [b"HTTP/1", b"HTTP/1.", b"HTTP/1.10", b"http/1.1", b"HTTP /1.1", b"HTTP/1.1 x", b"ICY"]
)
def test_what_is_not_a_version_is_refused(program: Program, version: bytes) -> None:
    assert parts(raw(program, b"GET /healthz " + version + b"\r\nHost: x\r\n\r\n"))[0] == 400


def test_options_of_the_whole_server(program: Program) -> None:
    status, headers, body = parts(
        raw(program, LINE.replace(b"GET /healthz", b"OPTIONS *") + b"Host: x\r\nConnection: close\r\n\r\n")
    )
    assert (status, body, headers["allow"]) == (204, b"", "GET, HEAD, OPTIONS, POST")
    assert "content-length" not in headers
    assert headers["x-request-id"]


@pytest.mark.parametrize("line", [b"GET * HTTP/1.1\r\n", b"HEAD * HTTP/1.1\r\n", b"POST * HTTP/1.1\r\n"])
def test_no_other_method_is_about_the_whole_server(program: Program, line: bytes) -> None:
    assert parts(raw(program, line + b"Host: x\r\n\r\n"))[0] == 400


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (b"http://x/healthz", 200),
        (b"HTTP://x:80/healthz?a=b", 200),
        (b"https://[::1]:8080/healthz", 200),
        (b"http://other.example/api/v2/publishing/targets/status", 200),
        (b"http://x/api/v2/publishing/targets/../targets/status", 404),
        (b"http://x//healthz", 404),
        (b"http://x", 200),
        (b"http://x/", 200),
        (b"http:///healthz", 400),
        (b"http://a@x/healthz", 400),
        (b"ftp://x/healthz", 400),
        (b"x://healthz", 400),
        (b"/x://healthz", 404),
        (b"healthz", 400),
        (b"x:80", 400),
        (b"?", 400),
    ],
)
def test_h11_a_target_in_absolute_form_is_its_path_and_no_other_route(
    program: Program, target: bytes, status: int
) -> None:
    answer = raw(program, b"GET " + target + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert parts(answer)[0] == status
    assert b"other.example" not in answer


@pytest.mark.parametrize("lines", [b"\r\n", b"\r\n\r\n", b"\r\n" * 20])
def test_empty_lines_before_a_request_are_ignored(program: Program, lines: bytes) -> None:
    with program.connect() as client:
        client.sendall(lines)
        client.sendall(lines + LINE + b"Host: x\r\n\r\n" + lines + NEXT)
        assert read_all(client).count(b"HTTP/1.1 200") == 2


def test_a_client_that_sends_nothing_but_empty_lines_is_closed_in_time() -> None:
    with Program("tests.process.scripted", '["ok"]', "1") as program, program.connect() as client:
        client.settimeout(0.1)
        answer: bytes | None = None
        for _ in range(300):
            try:
                client.sendall(b"\r\n")
                answer = client.recv(100)
            except TimeoutError:
                continue
            except ConnectionError:
                answer = b""
            break
        assert answer == b""


POST = b"POST /body HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"


@pytest.mark.parametrize("value", [b"100-continue", b"100-Continue", b"100-CONTINUE"])
def test_an_expectation_is_met_in_any_case(program: Program, value: bytes) -> None:
    with program.connect() as client:
        client.sendall(POST + b"Expect: " + value + b"\r\nContent-Length: 3\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 100")
        client.sendall(b"abc")
        assert parts(read_all(client))[2] == b'{"length": 3}'


def test_an_expectation_in_http_1_0_is_ignored(program: Program) -> None:
    sent = POST.replace(b"1.1", b"1.0") + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc"
    assert parts(raw(program, sent))[2] == b'{"length": 3}'


@pytest.mark.parametrize(
    ("sent", "length"),
    [
        (b"Content-Length: 003\r\n\r\nabc", 3),
        (b"Content-Length: 000000003\r\n\r\nabc", 3),
        (b"Content-Length:3 \t\r\n\r\nabc", 3),
        (b'Transfer-Encoding: Chunked\r\n\r\n3;a=b;c="d e"\r\nabc\r\n0\r\n\r\n', 3),
        (b"Transfer-Encoding: chunked\r\n\r\n0003\r\nabc\r\n0\r\nX-Trailer: y\r\n\r\n", 3),
        (b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nA\r\n0123456789\r\n0;x\r\n\r\n", 13),
    ],
)
def test_a_body_is_framed_as_the_rfc_allows(program: Program, sent: bytes, length: int) -> None:
    assert parts(raw(program, POST + sent))[2] == json.dumps({"length": length}).encode()


@pytest.mark.parametrize(
    "value", [b"3, 3", b"3,3", b"+3", b"-0", b"3.0", b"3 3", b"0" * 5000 + b"3", b"9" * 30, b"\xbd"]
)
def test_an_invalid_length_is_refused(program: Program, value: bytes) -> None:
    status = parts(raw(program, POST + b"Content-Length: " + value + b"\r\n\r\nabc"))[0]
    assert status in (400, 413), status


@pytest.mark.parametrize("path", ["/healthz", "/metrics", STATUS, "/nothing", "/api/v2/publishing/targets"])
def test_head_is_answered_without_a_body_and_the_connection_continues(program: Program, path: str) -> None:
    answer = raw(program, f"HEAD {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode() + NEXT)
    status, headers, rest = parts(answer)
    assert status == program.get(path)[0]
    assert int(headers["content-length"]) > 0
    assert rest.startswith(b"HTTP/1.1 200"), "a body came between"
