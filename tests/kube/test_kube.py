"""The Kubernetes API stand-in implements the protocol, and its faults occur as described."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from tests.kube import Authority, KubeServer, faults, fill, kubeconfig, raw_secret, secret
from tests.kube.selectors import parse_fields, parse_labels

if TYPE_CHECKING:
    from collections.abc import Iterator

LIST = "/api/v1/namespaces/default/secrets"


@pytest.fixture
def kube() -> Iterator[KubeServer]:
    with KubeServer(bookmark_interval=0.05) as server:
        fill(server.store, 5)
        yield server


def call(
    kube: KubeServer, path: str, method: str = "GET", body: Any = None, **headers: str
) -> tuple[int, dict[str, Any], http.client.HTTPMessage]:
    """Status, JSON and headers of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", kube.port, timeout=30)
    try:
        connection.request(method, path, None if body is None else json.dumps(body), headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read()), answer.headers
    finally:
        connection.close()


def names(document: dict[str, Any]) -> list[str]:
    return [item["metadata"]["name"] for item in document["items"]]


class Watching:
    """An open watch, read line by line."""

    def __init__(self, kube: KubeServer, query: str, path: str = LIST) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", kube.port, timeout=30)
        self.connection.request("GET", f"{path}?watch=1&{query}")
        self.answer = self.connection.getresponse()

    def __enter__(self) -> Watching:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()
        self.answer.close()

    def event(self) -> tuple[str, dict[str, Any]]:
        line = json.loads(self.answer.readline())
        return line["type"], line["object"]


class TestLists:
    def test_a_list_shows_every_secret_in_order_and_its_version(self, kube: KubeServer) -> None:
        status, document, headers = call(kube, LIST)
        assert status == 200
        assert headers["Content-Type"] == "application/json"
        assert document["kind"] == "SecretList" and document["apiVersion"] == "v1"
        assert names(document) == [f"target-{number:05d}" for number in range(5)]
        assert document["metadata"]["resourceVersion"] == str(kube.store.version)
        assert all(len(json.dumps(item)) == pytest.approx(1200, abs=100) for item in document["items"])

    def test_a_namespace_that_does_not_exist_is_an_empty_list(self, kube: KubeServer) -> None:
        status, document, _ = call(kube, "/api/v1/namespaces/none/secrets")
        assert (status, document["items"]) == (200, [])

    def test_all_namespaces_are_listed_together(self, kube: KubeServer) -> None:
        kube.store.create(secret("other", "elsewhere"))
        assert len(names(call(kube, "/api/v1/secrets")[1])) == 6
        assert names(call(kube, "/api/v1/namespaces/elsewhere/secrets")[1]) == ["other"]

    def test_pages_are_those_of_one_moment(self, kube: KubeServer) -> None:
        _, first, _ = call(kube, f"{LIST}?limit=2")
        assert first["metadata"]["remainingItemCount"] == 3
        kube.store.create(secret("a-new-one"))
        kube.store.delete("default", "target-00003")
        _, second, _ = call(kube, f"{LIST}?limit=2&continue={first['metadata']['continue']}")
        _, third, _ = call(kube, f"{LIST}?limit=2&continue={second['metadata']['continue']}")
        assert names(first) + names(second) + names(third) == [f"target-{number:05d}" for number in range(5)]
        assert first["metadata"]["resourceVersion"] == third["metadata"]["resourceVersion"]
        assert "continue" not in third["metadata"]

    def test_a_compacted_token_is_410_with_a_token_for_the_rest(self, kube: KubeServer) -> None:
        _, first, _ = call(kube, f"{LIST}?limit=2")
        kube.store.create(secret("target-00004a"))
        kube.store.compact()
        status, gone, _ = call(kube, f"{LIST}?limit=2&continue={first['metadata']['continue']}")
        assert (status, gone["kind"], gone["reason"], gone["code"]) == (410, "Status", "Expired", 410)
        _, rest, _ = call(kube, f"{LIST}?continue={gone['metadata']['continue']}")
        assert names(rest) == ["target-00002", "target-00003", "target-00004", "target-00004a"]

    def test_with_a_selector_the_remaining_items_are_not_counted(self, kube: KubeServer) -> None:
        _, first, _ = call(kube, f"{LIST}?limit=2&labelSelector=publishing-target")
        assert "remainingItemCount" not in first["metadata"] and first["metadata"]["continue"]

    @pytest.mark.parametrize(
        ("selector", "found"),
        [
            ("a=1", ["both", "one"]),
            ("a==1,b=2", ["both"]),
            ("a!=1", ["none", "two"]),
            ("a in (1, 3)", ["both", "one"]),
            ("a notin (1)", ["none", "two"]),
            ("a notin (1),b", ["two"]),
            ("b", ["both", "two"]),
            ("!b", ["none", "one"]),
            ("", ["both", "none", "one", "two"]),
        ],
    )
    def test_label_selectors(self, kube: KubeServer, selector: str, found: list[str]) -> None:
        for name, labels in {"one": {"a": "1"}, "two": {"b": "2"}, "both": {"a": "1", "b": "2"}, "none": {}}.items():
            kube.store.create(secret(name, "labelled", labels=labels))
        path = f"/api/v1/namespaces/labelled/secrets?labelSelector={quote(selector)}"
        assert names(call(kube, path)[1]) == found

    def test_a_field_selector_finds_one_name(self, kube: KubeServer) -> None:
        assert names(call(kube, f"{LIST}?fieldSelector=metadata.name%3Dtarget-00002")[1]) == ["target-00002"]

    @pytest.mark.parametrize("query", ["labelSelector=a===b", "fieldSelector=data.x=1", "continue=x", "limit=many"])
    def test_what_cannot_be_read_is_400(self, kube: KubeServer, query: str) -> None:
        status, document, _ = call(kube, f"{LIST}?{query}")
        assert (status, document["kind"], document["reason"]) == (400, "Status", "BadRequest")

    def test_an_exact_version_is_served_while_it_is_known(self, kube: KubeServer) -> None:
        version = call(kube, LIST)[1]["metadata"]["resourceVersion"]
        kube.store.delete("default", "target-00000")
        exact = f"{LIST}?resourceVersion={version}&resourceVersionMatch=Exact"
        assert len(call(kube, exact)[1]["items"]) == 5
        kube.store.compact()
        assert call(kube, exact)[0] == 410
        assert call(kube, f"{LIST}?resourceVersion=999999")[0] == 504

    def test_a_long_answer_is_packed_only_if_asked(self, kube: KubeServer) -> None:
        fill(kube.store, 1, 300_000, prefix="large")
        connection = http.client.HTTPConnection("127.0.0.1", kube.port, timeout=30)
        connection.request("GET", LIST, headers={"Accept-Encoding": "gzip"})
        answer = connection.getresponse()
        assert answer.headers["Content-Encoding"] == "gzip"
        assert answer.headers["Content-Length"] or answer.headers["Transfer-Encoding"] == "chunked"
        answer.read()
        connection.close()
        assert call(kube, LIST)[2]["Content-Encoding"] is None

    def test_several_requests_use_one_connection(self, kube: KubeServer) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", kube.port, timeout=30)
        for _ in range(3):
            connection.request("GET", LIST)
            connection.getresponse().read()
        connection.close()
        assert kube.connections == 1 and len(kube.requests) == 3
        assert {one.connection for one in kube.requests} == {1}


class TestEncodings:
    """As a kube-apiserver 1.36 was seen to answer."""

    PROTOBUF = "application/vnd.kubernetes.protobuf"
    METADATA = f"{PROTOBUF};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"

    def asked(self, kube: KubeServer, path: str, accept: str) -> tuple[int, str, bytes]:
        """Status, content type and body."""
        connection = http.client.HTTPConnection("127.0.0.1", kube.port, timeout=30)
        connection.request("GET", path, headers={"Accept": accept})
        answer = connection.getresponse()
        with closing(connection):
            return answer.status, answer.headers["Content-Type"], answer.read()

    @pytest.mark.parametrize(
        ("accept", "begins"),
        [
            (f"{PROTOBUF}, application/json", b"k8s\0\n\x10\n\x02v1\x12\nSecretList\x12"),
            (METADATA, b"k8s\0\n+\n\x0emeta.k8s.io/v1\x12\x19PartialObjectMetadataList\x12"),
            (f"application/vnd.kubernetes.protobuf;as=Nothing, {PROTOBUF}", b"k8s\0\n\x10\n\x02v1\x12\nSecretList\x12"),
        ],
    )
    def test_a_list_in_protobuf(self, kube: KubeServer, accept: str, begins: bytes) -> None:
        status, content_type, body = self.asked(kube, LIST, accept)
        assert (status, content_type) == (200, self.PROTOBUF)
        assert body.startswith(begins) and body.endswith(b'\x1a\0"\0')

    @pytest.mark.parametrize("accept", ["application/foo", "application/*", f"{PROTOBUF};as=Nothing"])
    def test_what_it_does_not_have_is_406_in_json(self, kube: KubeServer, accept: str) -> None:
        status, content_type, body = self.asked(kube, LIST, accept)
        assert (status, content_type, json.loads(body)["reason"]) == (406, "application/json", "NotAcceptable")

    def test_a_failure_is_in_protobuf_too(self, kube: KubeServer) -> None:
        status, content_type, body = self.asked(kube, f"{LIST}/none", f"{self.PROTOBUF}, application/json")
        assert (status, content_type) == (404, self.PROTOBUF)
        assert body.startswith(b"k8s\0\n\x0c\n\x02v1\x12\x06Status\x12")
        assert b'\n\x06\n\0\x12\0\x1a\0\x12\x07Failure\x1a\x18secrets "none" not found"\x08NotFound' in body
        kube.tokens = {"t"}
        assert self.asked(kube, LIST, self.PROTOBUF)[:2] == (401, self.PROTOBUF)


class TestWrites:
    def test_a_secret_is_created_replaced_and_deleted(self, kube: KubeServer) -> None:
        document = raw_secret("new", "default", {"a": b"1"}) | {"stringData": {"b": "2"}, "kind": "Secret"}
        status, created, _ = call(kube, LIST, "POST", document)
        assert (status, created["kind"], created["data"]) == (201, "Secret", {"a": "MQ==", "b": "Mg=="})
        assert created["metadata"]["uid"] and created["type"] == "Opaque"
        status, replaced, _ = call(kube, f"{LIST}/new", "PUT", created | {"data": {}})
        assert status == 200 and replaced["data"] == {}
        assert int(replaced["metadata"]["resourceVersion"]) == int(created["metadata"]["resourceVersion"]) + 1
        assert call(kube, f"{LIST}/new")[1] == replaced
        assert call(kube, f"{LIST}/new", "DELETE")[1]["status"] == "Success"
        assert call(kube, f"{LIST}/new")[0] == 404

    def test_conflicts_are_reported_as_by_a_real_server(self, kube: KubeServer) -> None:
        document = secret("target-00000")
        assert call(kube, LIST, "POST", document)[1]["reason"] == "AlreadyExists"
        document["metadata"]["resourceVersion"] = "1"
        assert call(kube, f"{LIST}/target-00000", "PUT", document)[1]["reason"] == "Conflict"
        assert call(kube, f"{LIST}/none", "PUT", secret("none"))[0] == 404
        assert call(kube, f"{LIST}/none", "DELETE")[0] == 404
        assert call(kube, f"{LIST}/other", "PUT", secret("none"))[0] == 400
        assert call(kube, f"{LIST}/x", "PATCH", {})[0] == 405

    def test_unknown_paths_and_versions(self, kube: KubeServer) -> None:
        assert call(kube, "/api/v1/pods")[1]["reason"] == "NotFound"
        assert call(kube, "/version")[1]["minor"] == "36"

    def test_an_access_review_knows_what_is_denied(self, kube: KubeServer) -> None:
        kube.denied = {("watch", "default")}

        def allowed(verb: str) -> bool:
            attributes = {"resource": "secrets", "verb": verb, "namespace": "default"}
            path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
            status, document, _ = call(kube, path, "POST", {"spec": {"resourceAttributes": attributes}})
            assert status == 201
            return bool(document["status"]["allowed"])

        assert allowed("list") and not allowed("watch")
        assert call(kube, f"{LIST}?watch=1")[0] == 403 and call(kube, LIST)[0] == 200

    def test_tokens_may_be_replaced(self, kube: KubeServer) -> None:
        kube.tokens = {"one"}
        assert call(kube, LIST)[1]["code"] == 401
        assert call(kube, LIST, Authorization="bearer one")[0] == 200
        kube.tokens = {"two"}
        assert call(kube, LIST, Authorization="Bearer one")[0] == 401


class TestWatches:
    def test_a_watch_sends_the_events_after_its_version(self, kube: KubeServer) -> None:
        before = kube.store.version
        kube.store.create(secret("new"))
        with Watching(kube, f"resourceVersion={before}") as watch:
            kube.store.replace(secret("new", enabled=False))
            kube.store.delete("default", "new")
            events = [watch.event() for _ in range(3)]
        assert [kind for kind, _ in events] == ["ADDED", "MODIFIED", "DELETED"]
        versions = [int(shown["metadata"]["resourceVersion"]) for _, shown in events]
        assert versions == [before + 1, before + 2, before + 3]
        assert all(shown["kind"] == "Secret" for _, shown in events)

    def test_to_leave_the_selector_is_to_be_deleted(self, kube: KubeServer) -> None:
        with Watching(kube, f"resourceVersion={kube.store.version}&labelSelector=publishing-target%3Dtrue") as watch:
            kube.store.replace(secret("target-00000", labels={}))
            kube.store.replace(secret("target-00000", enabled=False, labels={}))
            kube.store.replace(secret("target-00000"))
            assert [watch.event()[0] for _ in range(2)] == ["DELETED", "ADDED"]

    def test_bookmarks_come_when_asked_for(self, kube: KubeServer) -> None:
        with Watching(kube, f"resourceVersion={kube.store.version}&allowWatchBookmarks=true") as watch:
            fill(kube.store, 1, namespace="elsewhere")
            kind, shown = watch.event()
        assert (kind, shown["metadata"]["resourceVersion"]) == ("BOOKMARK", str(kube.store.version))

    def test_nothing_is_told_that_is_not_newer_than_what_was_asked_for(self, kube: KubeServer) -> None:
        for version in (kube.store.version, kube.store.version + 5):
            query = f"resourceVersion={version}&allowWatchBookmarks=true&timeoutSeconds=0.3"
            with Watching(kube, query) as watch:
                assert watch.answer.read() == b""
        with Watching(kube, f"resourceVersion={kube.store.version + 1}") as watch:
            fill(kube.store, 2, namespace="default", prefix="new")
            assert watch.event()[1]["metadata"]["name"] == "new-00001"

    def test_a_watch_from_nowhere_begins_with_everything(self, kube: KubeServer) -> None:
        with Watching(kube, "resourceVersion=0") as watch:
            assert [watch.event()[0] for _ in range(5)] == ["ADDED"] * 5

    def test_a_watch_ends_after_its_time(self, kube: KubeServer) -> None:
        with Watching(kube, f"resourceVersion={kube.store.version}&timeoutSeconds=0.1") as watch:
            assert watch.answer.read() == b""

    def test_a_version_too_old_is_an_error_event(self, kube: KubeServer) -> None:
        kube.store.compact()
        with Watching(kube, "resourceVersion=1000") as watch:
            kind, shown = watch.event()
            assert watch.answer.read() == b""
        assert (kind, shown["kind"], shown["code"], shown["reason"]) == ("ERROR", "Status", 410, "Expired")

    def test_closing_ends_watches_and_opening_answers_on_the_same_port(self, kube: KubeServer) -> None:
        with Watching(kube, f"resourceVersion={kube.store.version}") as watch:
            kube.close()
            with pytest.raises(ConnectionRefusedError):
                call(kube, LIST)
            with pytest.raises(http.client.IncompleteRead):
                watch.answer.read()
        kube.open()
        assert call(kube, LIST)[0] == 200

    def test_a_cut_ends_the_connections_there_are_and_refuses_no_new_one(self, kube: KubeServer) -> None:
        with Watching(kube, f"resourceVersion={kube.store.version}") as watch:
            kube.cut()
            assert call(kube, LIST)[0] == 200
            with pytest.raises(http.client.IncompleteRead):
                watch.answer.read()

    def test_nobody_else_gets_the_port_of_a_closed_server(self, kube: KubeServer) -> None:
        kube.close()
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", kube.port))
        kube.open()


class TestFaults:
    def test_a_rule_skips_fires_and_counts(self, kube: KubeServer) -> None:
        rule = kube.fault(faults.status(500, {"Retry-After": "7"}), LIST, after=1, times=2)
        answers = [call(kube, LIST) for _ in range(4)]
        assert [status for status, _, _ in answers] == [200, 500, 500, 200]
        assert answers[1][1]["kind"] == "Status" and answers[1][2]["Retry-After"] == "7"
        assert (rule.seen, rule.fired) == (4, 2) and rule.happened.is_set()

    @pytest.mark.parametrize("how", ["length", "no-length", "chunked"])
    def test_a_truncated_answer_is_half_of_the_right_one(self, kube: KubeServer, how: str) -> None:
        kube.fault(faults.truncated(how))
        expected = http.client.IncompleteRead if how != "no-length" else json.JSONDecodeError
        with pytest.raises(expected):
            call(kube, LIST)

    @pytest.mark.parametrize("stage", ["request", "headers", "body"])
    def test_a_reset_is_a_reset(self, kube: KubeServer, stage: str) -> None:
        kube.fault(faults.reset(stage))
        with pytest.raises(ConnectionResetError):
            call(kube, LIST)

    def test_silence_is_silence_until_the_server_closes(self, kube: KubeServer) -> None:
        kube.fault(faults.silence)
        with socket.create_connection(("127.0.0.1", kube.port), timeout=0.1) as client:
            client.sendall(f"GET {LIST} HTTP/1.1\r\n\r\n".encode())
            with pytest.raises(TimeoutError):
                client.recv(1)
            kube.close()
            assert client.recv(1) == b""

    def test_a_drip_is_slow(self, kube: KubeServer) -> None:
        kube.fault(faults.drip(0.01))
        kube.store.objects.clear()
        kube.store.version += 1
        began = time.monotonic()
        assert call(kube, LIST)[1]["items"] == []
        assert time.monotonic() - began > 0.5

    def test_an_answer_can_be_edited_and_recoded(self, kube: KubeServer) -> None:
        rule = kube.fault(faults.edited(lambda document: document.update(items=None)), times=1)
        assert call(kube, LIST)[1]["items"] is None and rule.fired == 1
        kube.fault(faults.recoded(206))
        assert call(kube, LIST)[0] == 206

    def test_connections_can_be_reset_before_any_data(self, kube: KubeServer) -> None:
        rule = kube.fault(faults.reset_connection, stage="connect", times=1)
        with pytest.raises((ConnectionResetError, BrokenPipeError)):
            call(kube, LIST)
        assert call(kube, LIST)[0] == 200 and rule.fired == 1


class TestAccess:
    def test_tls_is_checked_against_its_authority(self, tmp_path: Path) -> None:
        authority, other = Authority.create(tmp_path / "one"), Authority.create(tmp_path / "two")
        with KubeServer(tls=authority.server()) as kube:
            for trusted, good in ((authority, True), (other, False)):
                context = ssl.create_default_context(cafile=str(trusted.ca))
                with socket.create_connection(("127.0.0.1", kube.port), timeout=30) as plain:
                    if good:
                        context.wrap_socket(plain, server_hostname="127.0.0.1").close()
                    else:
                        with pytest.raises(ssl.SSLCertVerificationError):
                            context.wrap_socket(plain, server_hostname="127.0.0.1")

    def test_as_a_process_it_prints_its_address_and_ends_on_a_signal(self, tmp_path: Path) -> None:
        file = tmp_path / "kubeconfig"
        command = [sys.executable, "-m", "tests.kube", "--fill", "3", "--kubeconfig", str(file), "--token", "t"]
        root = Path(__file__).parents[2]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert json.loads(file.read_text())["clusters"][0]["cluster"]["server"] == url
            connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
            connection.request("GET", LIST, headers={"Authorization": "Bearer t"})
            assert len(json.loads(connection.getresponse().read())["items"]) == 3
            connection.close()
            process.terminate()
            assert process.wait(30) == 0

    def test_a_kubeconfig_names_what_it_is_given(self, tmp_path: Path) -> None:
        file = kubeconfig(tmp_path / "k", "http://x", namespace="n", user={"token": "t"})
        document = json.loads(file.read_text())
        assert document["contexts"][0]["context"]["namespace"] == "n"
        assert document["users"][0]["user"] == {"token": "t"}


def test_selectors_that_make_no_sense_are_refused() -> None:
    for text in ("a=b=c", "a in b", "=x", "a>1", "-a"):
        with pytest.raises(ValueError, match="unable to parse"):
            parse_labels(text)
    with pytest.raises(ValueError, match="not supported"):
        parse_fields("spec.x=1")


def test_many_clients_write_concurrently_and_every_version_is_seen_once(kube: KubeServer) -> None:
    before = kube.store.version
    threads = [
        threading.Thread(target=lambda n=n: [kube.store.create(secret(f"t{n}-{i}")) for i in range(20)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [change.version for change in kube.store.since(before)] == list(range(before + 1, before + 81))
