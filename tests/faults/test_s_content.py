"""Faults in the content of a Secret: each is reported, none affects another target or the process."""

from __future__ import annotations

import base64
import json
import random
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from alert_refresh.engine import Fault
from alert_refresh.targets.assemble import Candidate, assemble
from alert_refresh.targets.secret import parse as module
from alert_refresh.targets.secret.parse import parse, parse_base64
from alert_refresh.targets.secret.url import PLACEHOLDER
from alert_refresh.targets.target import Target, as_config
from tests.targets.folder.folders import CANARY, LABELS, World, config, secret, write
from tests.targets.secret.samples import only_fault

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLES = 400
"""For each of the two tests that are fed anything at all."""
PATIENCE = 5.0
"""Seconds of the processor one text may take, a hundred times what it should."""


def faults(text: bytes | str, **options: Any) -> dict[str, str]:
    """The code words by field of what is wrong with a `config`."""
    data = {"config": text.encode() if isinstance(text, str) else text}
    result = parse(data, namespace="ns", secret="s", **options)
    assert isinstance(result, tuple), result
    for fault in result:
        assert CANARY not in f"{fault.field} {fault.message}"
    return {fault.field: fault.message.partition(":")[0] for fault in result}


def wrong(**changes: Any) -> dict[str, str]:
    return faults(json.dumps(config("a", **changes)))


def encoded(value: str) -> dict[str, str] | Target:
    result = parse_base64({"config": value}, namespace="ns", secret="s")
    if isinstance(result, Target):
        return result
    return {fault.field: fault.message.partition(":")[0] for fault in result}


def good_base64() -> str:
    return base64.b64encode(json.dumps(config("a")).encode()).decode()


@pytest.fixture
def ten(tmp_path: Path) -> World:
    """Ten good targets, served."""
    world = World(tmp_path)
    for number in range(10):
        write(world.root / f"{number}.yaml", secret(f"t{number}"))
    assert world.names() == [f"t{number}" for number in range(10)]
    return world


@pytest.mark.parametrize("data", [{}, {"other": "eA=="}, {"config": ""}, {"config": "IAo="}, None])
def test_s01_a_secret_without_config_is_rejected_and_the_others_are_served(ten: World, data: Any) -> None:
    write(ten.root / "bad.yaml", secret("bad", data=data))
    assert ten.names() == [f"t{number}" for number in range(10)]
    assert ten.rejected() == [("default/bad", "config", "missing_config")]


def test_s02_base64_is_strict_but_may_be_wrapped() -> None:
    text = good_base64()
    assert encoded("!!!YWJj***") == {"config": "bad_base64"}
    assert encoded(text.rstrip("=") + "x=") == {"config": "bad_base64"}
    assert encoded("YWJ") == encoded("YWI=YWI=") == encoded("\u00e9") == {"config": "bad_base64"}
    wrapped = "\r\n ".join(text[at : at + 76] for at in range(0, len(text), 76)) + "\n"
    assert wrapped != text and isinstance(encoded(wrapped), Target)


@pytest.mark.parametrize(
    "text",
    [
        b'{"name": "\xff"}',
        json.dumps(config("a")).encode("utf-16"),
        json.dumps(config("a")).encode("utf-8-sig"),
        b'{"name": "a\x00"}',
        b'{"name": "\\ud800"}',
        b'{"note": "\xed\xa0\x80"}',
        json.dumps(config("a", note="\ud800")).encode(),
        json.dumps(config("a"), ensure_ascii=False)[:-1].encode() + b', "note": "\xc3"}',
    ],
)
def test_s03_what_is_not_clean_utf8_is_an_encoding_fault(text: bytes) -> None:
    assert faults(text) == {"config": "encoding"}


@pytest.mark.parametrize("text", ["[]", '"text"', "5", "null", "true", "{", "{'a': 1}", '{"a": 1,}', "nothing"])
def test_s04_only_an_object_is_a_config(text: str) -> None:
    assert faults(text) == {"config": "schema"}


@pytest.mark.parametrize(
    ("added", "key"),
    [
        (', "name": "last"', "name"),
        (', "headers": {"a": "1", "b": "1", "a": "2"}', "a"),
        (', "headers": {"a": "1", "\\u0061": "2"}', "a"),
        (', "filter_config": {"labels": {"x": ["1"], "x": ["1"]}}', "x"),
        (', "filter_config": {"a": true, "a": true, "b": "enabled"}', "a"),
        (', "headers": null, "filter_config": {"a": null, "a": null}', "a"),
        (', "filter_config": {"n": 1, "deep": [[{"k": 0, "k": 0}]]}', "k"),
        (', "filter_config": {}, "filter_config": {"q": "\\u0022\\u0022"}', "filter_config"),
    ],
)
def test_s05_a_repeated_key_is_named_with_its_line(added: str, key: str) -> None:
    text = json.dumps(config("first"))[:-1] + "\n" + added + "}"
    fault = only_fault({"config": text.encode()})
    assert fault.field == "config"
    assert fault.message.startswith(f"repeated_key: '{key}' is repeated at line 2, column ")


@pytest.mark.parametrize(
    "number",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e999",
        "-1E+999",
        "9" * 5000,
        "-0",
        "-0.0",
        "-0e5",
        str(2**63),
        "1" * 400 + ".0",
    ],
)
@pytest.mark.parametrize("field", ["filter_config", "note", "enabled"])
def test_s06_numbers_that_readers_do_not_agree_on_are_refused(number: str, field: str) -> None:
    value = f'{{"n": [{number}]}}' if field == "filter_config" else number
    text = json.dumps(config("a"))[:-1] + f', "{field}": {value}}}'
    assert faults(text) == {"config": "schema"}


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"filter_config":' + '{"a":' * 100_000 + "1" + "}" * 100_001,
        json.dumps(config("a", filter_config={f"key-{number}": number for number in range(50_000)})),
        json.dumps(config("a", headers={f"h{number}": "x" for number in range(1_000_000)})),
        json.dumps(config("a", headers={f"h{number}": "x" for number in range(2_000)})),
        json.dumps(config("a", filter_config={"list": ["x"] * 100_000})),
        '"\\"' + '\\"' * 400_000 + "[" * 100,
    ],
    ids=["deep lists", "deep objects", "many keys", "10^6 headers", "2000 headers", "long list", "quotes without end"],
)
def test_s07_what_would_cost_too_much_is_refused_quickly(text: str) -> None:
    began = time.thread_time()
    found = faults(text)
    assert time.thread_time() - began < PATIENCE
    if not text.startswith('"'):
        assert set(found.values()) == {"too_complex"}


def test_s08_who_wins_a_name_does_not_depend_on_the_order() -> None:
    found = []
    for number in range(12):
        url = f"https://hooks.example.com/{number}"
        result = parse({"config": json.dumps(config("a", url=url)).encode()}, namespace="ns", secret=f"s{number:02}")
        found.append(Candidate("ns", f"s{number:02}", "", f"2025-01-{1 + number // 2 % 3:02}T00:00:00Z", result))
    first = assemble(found, None, 1.0)
    assert first.items["a"].secret == "s00"
    assert {one.faults[0].message.partition(":")[0] for one in first.rejected} == {"duplicate_name"}
    assert len(first.rejected) == 11
    for seed in range(100):
        shuffled = found.copy()
        random.Random(seed).shuffle(shuffled)
        again = assemble(shuffled, None, 1.0)
        assert (again.items, again.rejected, again.digest) == (first.items, first.rejected, first.digest)


@pytest.mark.parametrize(
    "name", ["Team", "caf\u00e9", "cafe\u0301", "te\u0430m", "te\u200bam", "\u202eteam", "team\n", "team\u2028"]
)
def test_s09_look_alike_names_are_refused(name: str) -> None:
    assert wrong(name=name) == {"name": "bad_name"}


def test_s09_names_from_outside_are_escaped_in_the_log(ten: World, caplog: pytest.LogCaptureFixture) -> None:
    write(ten.root / "bad.yaml", secret("x", metadata={"name": "\u202ex\n{}", "labels": LABELS}, data={}))
    ten.refresh()
    assert "'default/\\u202ex\\n{}'" in caplog.text and "\u202e" not in caplog.text


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", "%2e%2e", "..", "a" * 10_000, "a\\b"])
def test_s10_a_name_is_not_a_path(name: str) -> None:
    assert wrong(name=name) == {"name": "bad_name"}


@pytest.mark.parametrize("text", ["__proto__", "constructor", "__class__", "{0.__class__}", "%s%n", "${jndi:ldap://x}"])
def test_s11_text_is_only_text(text: str, ten: World, caplog: pytest.LogCaptureFixture) -> None:
    found = parse(
        {"config": json.dumps(config("a", headers={"X-Text": text}, filter_config={text: text})).encode()},
        namespace="ns",
        secret="s",
    )
    assert isinstance(found, Target)
    assert found.headers["X-Text"].reveal() == text and found.filter_config == {text: text}
    if text != "constructor":
        assert wrong(name=text) == {"name": "bad_name"}
    assert set(wrong(headers={text: ""}).values()) == {"bad_header"}
    write(ten.root / "bad.yaml", secret("x", metadata={"name": text, "labels": LABELS}, data={}))
    ten.refresh()
    assert text in caplog.text


def test_s12_user_info_in_a_url_is_refused_and_never_shown(ten: World, caplog: pytest.LogCaptureFixture) -> None:
    body = json.dumps(config("bad", url=f"https://user:{CANARY}@hooks.example.com/"))
    write(ten.root / "bad.yaml", secret("bad", data=None, stringData={"config": body}))
    assert "bad" not in ten.names()
    assert ten.rejected() == [("default/bad", "url", "bad_url")]
    assert CANARY not in f"{ten.snapshot!r}{caplog.text}{[record.__dict__ for record in caplog.records]}"
    for url in ("http://user@x", "http://@x", "http://a@b@c", "http://user:pw@[::1]/"):
        assert wrong(url=url) == {"url": "bad_url"}


FORBIDDEN = [
    "http://169.254.169.254/latest/meta-data/",
    "http://[::ffff:169.254.169.254]/",
    "http://[::ffff:a9fe:a9fe]/",
    "http://2852039166/",
    "http://0xa9fea9fe/",
    "http://0xa9.0xfe.43518/",
    "http://0251.0376.0251.0376/",
    "http://169.254.43518/",
    "http://169.254.169.254./",
    "http://169.254.1.1/",
    "http://[fe80::1]/",
    "http://[fe80::1%25eth0]/",
    "http://[64:ff9b::169.254.169.254]/",
    "http://[64:ff9b:1::169.254.169.254]/",
    "http://[64:ff9b:1:a9fe:a9:fe00::]/",
    "http://[::ffff:0:a9fe:a9fe]/",
    "http://[2002:a9fe:a9fe::]/",
    "http://[::169.254.169.254]/",
    "http://[2001:0:a9fe:a9fe::]/",
    "http://\uff11\uff16\uff19.254\u3002169.254/",
    "http://[fd00:ec2::254]/",
    "http://100.100.100.200/",
    "http://168.63.129.16/",
    "http://metadata.google.internal/",
    "http://METADATA.google.internal./",
    "http://metadata/",
    "file:///etc/passwd",
    "gopher://x/",
    "ftp://x/",
    "javascript:alert(1)",
    "data:text/plain,x",
    "unix:/run/x.sock",
]
INSIDE = [
    "http://2130706433/",
    "http://0x7f.1/",
    "http://127.1/",
    "http://localhost/",
    "http://a.b.svc/",
    "http://10.0.0.1/",
]


@pytest.mark.parametrize("url", FORBIDDEN)
def test_s13_metadata_and_other_schemes_are_refused_in_any_spelling(url: str) -> None:
    assert wrong(url=url) == {"url": "url_forbidden"}


@pytest.mark.parametrize("url", INSIDE)
def test_s13_the_inside_is_refused_only_when_asked(url: str) -> None:
    text = json.dumps(config("a", url=url))
    assert isinstance(parse({"config": text.encode()}, namespace="ns", secret="s"), Target)
    assert faults(text, deny_private=True) == {"url": "url_forbidden"}


@pytest.mark.parametrize(
    "url",
    [
        "http://x/\r\nHost: y",
        "http://x/\n",
        " http://x/",
        "http://x/ ",
        "http://x/\t",
        "\thttp://x/",
        "http://x\\@y/",
        "http://x\x00/",
        "http://x\x7f/",
        "http://x:99999/",
        "http://[::1",
        "ht\ntp://x/",
        "http://x/\u2028",
        "http://x/\u00a0",
        "\ufeffhttp://x/",
    ],
)
def test_s14_urls_are_judged_as_they_are_written(url: str) -> None:
    assert wrong(url=url) == {"url": "bad_url"}


def test_s15_no_name_is_looked_up(ten: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def lookup(*args: Any, **_: Any) -> None:
        asked.append(args)
        raise AssertionError("a name was looked up")

    for name in ("getaddrinfo", "gethostbyname", "gethostbyname_ex", "create_connection"):
        monkeypatch.setattr(socket, name, lookup)
    with pytest.raises(AssertionError):
        socket.getaddrinfo("x", 80)
    asked.clear()
    body = json.dumps(config("rebinding", url="http://rebinding.example.com/"))
    write(ten.root / "rebinding.yaml", secret("rebinding", data=None, stringData={"config": body}))
    assert "rebinding" in ten.names()
    assert not asked


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("a\r\nb", "x"),
        ("a", "x\r\ny: z"),
        ("a", "x\ny"),
        ("a", "x\x00"),
        ("a\x00", "x"),
        ("\u0430", "x"),
        ("a", "\u0431"),
        ("a b", "x"),
        ("a:", "x"),
        ("", "x"),
        ("a", ""),
        ("a", "  "),
        ("Host", "x"),
        ("hOST", "x"),
        ("Transfer-Encoding", "chunked"),
        ("Content-Length", "5"),
        ("Connection", "close"),
        ("a", "\x7f"),
        ("a", "\x85"),
    ],
)
def test_s16_headers_that_break_a_request_are_refused(name: str, value: str) -> None:
    assert wrong(headers={name: value}) == {"headers": "bad_header"}


def test_s16_two_names_that_differ_in_case_alone_are_refused() -> None:
    assert wrong(headers={"X-Team": "a", "x-team": "b"}) == {"headers": "bad_header"}


def test_s17_the_string_false_is_not_true() -> None:
    assert wrong(enabled="false") == {"enabled": "schema"}


def test_s18_a_target_that_turns_invalid_is_served_stale_with_its_faults(ten: World) -> None:
    assert ten.snapshot is not None
    last = ten.snapshot.items["t3"]
    write(ten.root / "3.yaml", secret("t3", data={"config": "!"}))
    assert ten.names() == ["t0", "t1", "t2", "~t3", *(f"t{number}" for number in range(4, 10))]
    stale = ten.snapshot.items["t3"]
    assert stale.url == last.url
    assert stale.stale_since == ten.clock.time()
    assert stale.faults == (Fault("config", "bad_base64: is not valid base64"),)
    write(ten.root / "3.yaml", secret("t3"))
    assert "t3" in ten.names()


@pytest.mark.parametrize(
    ("changes", "selected"),
    [
        ({"metadata": {"name": "x"}}, False),
        ({"metadata": {"name": "x", "labels": {"publishing-target": "yes"}}}, False),
        ({"type": "kubernetes.io/tls"}, True),
        ({"immutable": True}, True),
        ({"metadata": {"name": "x", "labels": LABELS, "deletionTimestamp": "2025-01-01T00:00:00Z"}}, True),
    ],
)
def test_s19_labels_alone_select(ten: World, changes: dict[str, Any], selected: bool) -> None:
    write(ten.root / "x.yaml", secret("x", **changes))
    assert ("x" in ten.names()) is selected
    assert ten.rejected() == []


def test_s20_one_shape_goes_before_the_other_and_string_data_before_data(ten: World) -> None:
    both = {"config": json.dumps(config("one")), "target.json": json.dumps(config("two")), "config.json": "ignored"}
    write(ten.root / "x.yaml", secret("x", data={"config": "!"}, stringData=both))
    assert "one" in ten.names() and ten.rejected() == []


def test_s21_when_all_turn_invalid_all_are_served_as_stale(ten: World, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(10):
        write(ten.root / f"{number}.yaml", secret(f"t{number}", data={}))
    assert ten.names() == [f"~t{number}" for number in range(10)]
    assert len([record for record in caplog.records if record.levelname == "WARNING"]) == 10


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)
NEARLY = st.fixed_dictionaries(
    {},
    optional={
        "name": JSON | st.just("a"),
        "type": JSON | st.sampled_from(["webhook", "slack"]),
        "format": JSON | st.sampled_from(["webhook", "slack"]),
        "url": JSON | st.text().map("https://x.example.com/".__add__) | st.text().map("http://".__add__),
        "enabled": JSON,
        "headers": JSON | st.dictionaries(st.text(), st.text(), max_size=3),
        "filter_config": JSON | st.dictionaries(st.text(), JSON, max_size=3),
        "note": JSON,
    },
)
KEYS = st.sampled_from(
    [
        "config",
        "target.json",
        "target",
        "type",
        "url",
        "name",
        "format",
        "enabled",
        "headers",
        "api_key",
        "filter_config",
        "webhook-url",
        "target-name",
        "token",
        "min-confidence",
        "filter-severity",
        "header-X",
        "other",
    ]
)


def survives(data: dict[str, bytes]) -> None:
    """Any input gives a target or faults, quickly, and both parsers agree."""
    began = time.thread_time()
    result = parse(data, namespace="ns", secret="s")
    assert time.thread_time() - began < PATIENCE
    values: dict[str, Any] = {key: base64.b64encode(value).decode() for key, value in data.items()}
    assert parse_base64(values, namespace="ns", secret="s") == result
    quick = module._straight
    try:
        module._straight = lambda *_: None
        slow = parse(data, namespace="ns", secret="s")
    finally:
        module._straight = quick
    assert slow == result
    if isinstance(result, Target):
        json.dumps(as_config(result), ensure_ascii=False).encode()
        assert isinstance(slow, Target) and slow.digest == result.digest
    else:
        assert result and all(fault.field and ": " in fault.message for fault in result)


@settings(max_examples=EXAMPLES)
@given(st.dictionaries(KEYS, st.binary(max_size=200), max_size=5))
@example({"config": b'{"a": "' + b"\\" * 99})
def test_s22_any_bytes(data: dict[str, bytes]) -> None:
    survives(data)


@settings(max_examples=EXAMPLES)
@given(st.sampled_from(["config", "target.json", "target"]), NEARLY | JSON, st.booleans())
def test_s22_any_json(key: str, value: Any, escaped: bool) -> None:
    survives({key: json.dumps(value, ensure_ascii=escaped).encode("utf-8", "surrogatepass")})


@pytest.mark.soak
@pytest.mark.timeout(3600)
@settings(max_examples=50_000)
@given(
    st.dictionaries(KEYS, st.binary(max_size=200) | NEARLY.map(lambda value: json.dumps(value).encode()), max_size=5)
)
def test_s22_anything_for_long(data: dict[str, bytes]) -> None:
    survives(data)


HEADER = st.text("abcXYZ09-_", min_size=1, max_size=8).filter(lambda name: name.lower() not in ("te", "host"))
WHOLE = st.integers(-(2**63), 2**63 - 1)
PLAIN = (
    st.none()
    | st.booleans()
    | WHOLE
    | st.floats(allow_nan=False, allow_infinity=False).map(lambda n: n or 0.0)
    | st.text(st.characters(exclude_categories=["Cs"]))
)


@settings(max_examples=300)
@given(
    st.fixed_dictionaries(
        {
            "name": st.from_regex(r"[a-z0-9]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True),
            "url": st.from_regex(
                r"https?://[a-z]{1,8}\.example\.com(:[1-9][0-9]{1,3})?/[!-\[\]-~]{0,20}", fullmatch=True
            ).filter(lambda url: not PLACEHOLDER.search(url)),
            "enabled": st.booleans(),
            "headers": st.dictionaries(HEADER, st.from_regex(r"[!-~]([ -~]{0,9}[!-~])?", fullmatch=True), max_size=3),
            "filter_config": st.dictionaries(
                st.text(st.characters(exclude_categories=["Cs"])), PLAIN | st.lists(PLAIN), max_size=4
            ),
        }
    ),
    st.sampled_from([("webhook", "alertmanager"), ("webhook", "webhook"), ("slack", "slack"), ("rootly", "rootly")]),
)
def test_s23_what_is_parsed_written_and_parsed_again_is_the_same(fields: dict[str, Any], kind: tuple[str, str]) -> None:
    fields["headers"] = {name.lower(): value for name, value in fields["headers"].items()}
    fields |= {"type": kind[0], "format": kind[1]}
    if fields["name"] in ("status", "refresh", "approve", "reject"):
        fields["name"] += "-x"
    first = parse({"config": json.dumps(fields).encode()}, namespace="ns", secret="s")
    assert isinstance(first, Target), first
    second = parse({"config": json.dumps(as_config(first)).encode()}, namespace="ns", secret="s")
    assert second == first
    assert as_config(first) == fields


def test_s24_annotations_are_never_kept(ten: World, caplog: pytest.LogCaptureFixture) -> None:
    annotations = {
        "kubectl.kubernetes.io/last-applied-configuration": json.dumps(secret("x", note=CANARY + "-annotated"))
    }
    metadata = {"name": "x", "labels": LABELS, "annotations": annotations}
    write(ten.root / "x.yaml", secret("x", metadata=metadata), secret("y", metadata=metadata | {"name": "y"}, data={}))
    assert "x" in ten.names()
    assert ten.rejected() == [("default/y", "config", "missing_config")]
    assert ten.snapshot is not None
    seen = repr((ten.snapshot, ten.snapshot.memo, [as_config(one) for one in ten.snapshot.items.values()], caplog.text))
    assert CANARY in seen and CANARY + "-annotated" not in seen
