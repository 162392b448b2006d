"""Manifests are checked as the daemon reads them, and each fault has its line."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.engine import AttemptError
from alert_refresh.targets.folder import validate
from alert_refresh.targets.folder.documents import Located, load
from alert_refresh.targets.folder.validate import Report, Validation
from alert_refresh.targets.secret.selector import parse_selector
from tests.targets.faults_table import FIELDS, GOOD, JSON, KEYS, PRIVATE, TEXTS, URLS, YAML
from tests.targets.folder.folders import CANARY, LABELS, World, config, mount, secret, write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def validation(selector: str = "publishing-target=true", *, deny_private: bool = False) -> Validation:
    return Validation(parse_selector(selector), deny_private=deny_private)


def checked(text: str | bytes, name: str = "a.yaml", **options: Any) -> Report:
    it = validation(**options)
    it.add_file(name, text.encode() if isinstance(text, str) else text)
    return it.report()


def found(report: Report) -> list[tuple[int | None, str, str]]:
    """Line, field and code word of each fault."""
    return [(one.place.line, one.fault.field, one.fault.message.partition(":")[0]) for one in report.faults]


META = "metadata: {name: one, labels: {publishing-target: 'true'}}"


class TestLines:
    def test_a_field_in_json_is_at_the_key_that_holds_it(self) -> None:
        text = f"kind: Secret\n{META}\nstringData:\n  other: x\n  config: |\n    {{\n      'name': 1}}\n"
        (fault,) = checked(text).faults
        assert (fault.place.line, fault.fault.field) == (5, "config")
        assert "line 2, column 3" in fault.fault.message, "and the JSON has its own"

    def test_a_key_is_at_its_own_line(self) -> None:
        text = f"kind: Secret\n{META}\nstringData:\n  type: slack\n  url: ftp://x\n  colour: red\n  enabled: maybe\n"
        assert found(checked(text)) == [
            (5, "url", "url_forbidden"),
            (6, "colour", "unknown_field"),
            (7, "enabled", "schema"),
        ]

    def test_a_key_beside_the_json_is_not_taken_for_its_field(self) -> None:
        text = f"kind: Secret\n{META}\nstringData:\n  url: x\n  config: '{{\"url\": 1}}'\n"
        assert {line for line, field, _ in found(checked(text)) if field == "url"} == {5}

    def test_string_data_goes_before_data(self) -> None:
        text = f"kind: Secret\n{META}\ndata:\n  config: '!'\nstringData:\n  config: '[]'\n"
        assert found(checked(text)) == [(6, "config", "schema")]
        text = f"kind: Secret\n{META}\nstringData: {{}}\ndata:\n  config: '!'\n"
        assert found(checked(text)) == [(5, "config", "bad_base64")]

    def test_a_secret_without_a_target_is_at_its_first_line(self) -> None:
        text = f"# first\n---\nkind: Secret\n{META}\ndata:\n  password: eA==\n"
        assert found(checked(text)) == [(3, "config", "missing_config")]

    def test_metadata_is_at_its_key(self) -> None:
        text = "kind: Secret\nmetadata:\n  labels:\n    publishing-target: 'true'\n  name: 5\n  namespace: 6\n"
        report = checked(text + "stringData: {config: '{}'}\n")
        assert [one for one in found(report) if one[1].startswith("metadata")] == [
            (5, "metadata.name", "schema"),
            (6, "metadata.namespace", "schema"),
        ]
        assert ("url", 1) in [(one.fault.field, one.place.document) for one in report.faults], "and what it holds"
        assert found(checked("kind: Secret\nmetadata:\n  labels: {publishing-target: yes}\n  name: a\n"))[0][0] == 3

    def test_data_that_is_no_mapping_is_at_its_key(self) -> None:
        assert found(checked(f"kind: Secret\n{META}\ndata: []\n"))[0] == (3, "data", "schema")

    def test_every_object_of_a_list_has_its_own(self) -> None:
        bad = secret("bad", stringData={"config": "[]"}, data={})
        text = json.dumps({"kind": "List", "items": [secret("one"), bad]}, indent=1)
        line = text[: text.rindex('"config"')].count("\n") + 1
        for name in ("a.json", "a.yaml", "-"):
            assert found(checked(text, name)) == [(line, "config", "schema")]

    def test_a_secret_list_needs_no_kinds(self) -> None:
        text = f"kind: SecretList\nitems:\n- {META}\n  stringData:\n    config: '[]'\n"
        assert found(checked(text)) == [(5, "config", "schema")]

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            ("a: [\n\n", 3),
            ("kind: Secret\nkind: Secret", 2),
            ("kind: Secret\n1: x", 2),
            ("\nx: !env A", 2),
            ("kind: Secret\nx: *a", 2),
            ("kind: Secret\n<<: x", 2),
            ("\n\na: b", 3),
            ("", None),
            ("a: \0", None),
        ],
    )
    def test_a_file_that_cannot_be_read_has_the_line_where_it_fails(self, text: str, line: int | None) -> None:
        (fault,) = checked(text).faults
        assert (fault.place, fault.fault.field) == (validate.Place("a.yaml", line), "file")

    @pytest.mark.parametrize(
        ("text", "line"),
        [('{"kind":\n}', 2), ('{"a": 1,\n"a": 2}', 2), ('{"a":\n NaN}', 2), ('{"a": "b\n', 1), ("[]", None)],
    )
    def test_so_has_one_in_json(self, text: str, line: int | None) -> None:
        (fault,) = checked(text, "a.json").faults
        assert (fault.place.line, fault.fault.field) == (line, "file")

    def test_what_is_skipped_is_at_its_first_line(self) -> None:
        text = "kind: Deployment\n---\nkind: Secret\nmetadata: {name: one}\n---\n\nkind: SealedSecret\n"
        text += "---\nsops: {}\nkind: x"
        report = checked(text)
        assert [(one.place.line, one.place.secret, one.place.document) for one in report.skipped] == [
            (1, None, 1),
            (3, "one", None),
            (7, None, 3),
            (9, None, 4),
        ]
        assert "it has no label publishing-target" in report.skipped[1].reason
        assert "encrypted" in report.skipped[3].reason and not report.faults


class TestNames:
    def test_a_name_of_several_secrets_is_a_fault_of_all_but_the_first(self, tmp_path: Path) -> None:
        it = validation()
        write(tmp_path / "b.yaml", secret("two", data=secret("one")["data"]))
        it.add_file("a.yaml", json.dumps(secret("one"), indent=1).encode())
        it.add_folder(tmp_path)
        it.add_file("c.yaml", json.dumps(secret("older", data=secret("one")["data"])).encode())
        report = it.report()
        assert [(one.place.file, one.place.secret, one.fault.field) for one in report.faults] == [
            ("a.yaml", "one", "name"),
            (f"{tmp_path}/b.yaml", "two", "name"),
        ]
        assert report.targets == 1
        assert all("duplicate_name: Secret 'default/older' has this name" in one.fault.message for one in report.faults)

    def test_the_same_secret_twice_is_a_fault_of_the_second(self) -> None:
        text = json.dumps(secret("one")) + "\n---\n" + json.dumps(secret("one"))
        report = checked(text)
        assert found(report) == [(3, "metadata.name", "duplicate_name")]
        assert report.targets == 1


class TestFolders:
    def test_they_are_read_as_the_daemon_reads_them(self, tmp_path: Path) -> None:
        (tmp_path / "sub").mkdir()
        write(tmp_path / "sub" / "a.yaml", secret("one"), secret("bad", data={"config": "!"}))
        (tmp_path / ".hidden.yaml").write_text("{")
        (tmp_path / "README.md").write_text("{")
        mount(tmp_path / "good", "v1", {"config": json.dumps(config("two")).encode()})
        mount(tmp_path / "bad", "v1", {"config": b"[]"})
        mount(tmp_path / "files", "v1", {"a.yaml": json.dumps(secret("three", data={})).encode()})
        (tmp_path / "out").symlink_to("/etc")
        (tmp_path / "none.yaml").symlink_to("nowhere")
        it = validation()
        it.add_folder(tmp_path)
        report = it.report()
        assert report.targets == 2
        assert [
            (one.place.file.removeprefix(f"{tmp_path}/"), one.place.secret, one.place.line) for one in report.faults
        ] == [
            ("bad", "bad", None),
            ("files/a.yaml", "three", 1),
            ("none.yaml", None, None),
            ("out", None, None),
            ("sub/a.yaml", "bad", report.faults[-1].place.line),
        ]
        assert report.faults[-1].place.line is not None and report.faults[-1].place.line > 10
        assert CANARY not in repr(report)

    def test_a_mounted_secret_itself(self, tmp_path: Path) -> None:
        mount(tmp_path / "one", "v1", {"config": b"[]"})
        it = validation()
        it.add_folder(tmp_path / "one")
        assert [one.place.secret for one in it.report().faults] == ["one"]

    def test_one_that_holds_too_much_says_so_once(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(validate, "MAX_TOTAL", 10)
        for name in ("a", "b", "c"):
            write(tmp_path / f"{name}.yaml", secret(name))
        it = validation()
        it.add_folder(tmp_path)
        report = it.report()
        assert [one.fault.message.partition(":")[0] for one in report.faults] == ["too_large"]

    def test_one_that_cannot_be_read_is_the_callers_error(self, tmp_path: Path) -> None:
        with pytest.raises(AttemptError):
            validation().add_folder(tmp_path / "none")


def inputs() -> Iterator[tuple[str, bytes, bool]]:
    """Files with every fault there is: name, content, and whether private URLs are denied."""

    def manifest(values: dict[str, Any]) -> bytes:
        data = {
            key: base64.b64encode(one if isinstance(one, bytes) else one.encode("utf-8", "surrogatepass")).decode()
            for key, one in values.items()
        }
        document = {"kind": "Secret", "metadata": {"name": "s", "labels": LABELS}, "data": data}
        return json.dumps(document, indent=1).encode()

    for change in FIELDS:
        values = {key: value for key, value in (GOOD | change).items() if value is not None}
        yield "a.json", manifest({"config": json.dumps(values)}), False
    for text in TEXTS:
        yield "a.json", manifest({"config": text}), False
    for url in (*URLS, *PRIVATE):
        yield "a.json", manifest({"config": json.dumps(GOOD | {"url": url})}), url in PRIVATE
    for keys in KEYS:
        yield "a.yaml", manifest(keys), False
    for text in YAML:
        yield "a.yaml", text.encode("utf-8", "surrogateescape"), False
    for text in JSON:
        yield "a.json", text.encode(), False
    yield "a.yaml", b"#" * (17 << 20), False


@pytest.mark.no_cover
def test_every_fault_is_what_the_daemon_says_and_shows_no_credential(tmp_path: Path) -> None:
    count = 0
    for number, (name, content, deny_private) in enumerate(inputs()):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / name).write_bytes(content)
        world = World(folder, deny_private=deny_private)
        served = {fault for one in world.refresh().rejected for fault in one.faults}
        report = checked(content, name, deny_private=deny_private)
        said = {one.fault for one in report.faults}
        too_large = [one for one in said if one.message.startswith("too_large")]
        assert too_large or served <= said, content[:200]
        assert said, content[:200]
        assert CANARY not in repr(report) and "user:password" not in repr(report)
        count += len(said)
    assert count > 100


def test_what_parsing_raises_is_a_fault_of_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: Any, **named: Any) -> None:
        raise RuntimeError(CANARY)

    monkeypatch.setattr(validate, "load", broken)
    (fault,) = checked("kind: Secret").faults
    assert fault.fault.message == "unreadable: parsing it raised RuntimeError"


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=15,
)


@given(st.dictionaries(st.text(max_size=5), values, max_size=4), st.sampled_from([None, 0, 2]))
def test_objects_in_json_have_the_lines_of_their_keys(document: dict[str, Any], indent: int | None) -> None:
    text = json.dumps(document, indent=indent)
    (read,) = load("a.json", text.encode(), lambda: None, located=True)
    assert read == document

    def check(value: Any) -> None:
        for one in value if isinstance(value, list) else []:
            check(one)
        if isinstance(value, dict):
            assert isinstance(value, Located) and value.lines.keys() == value.keys()
            lines = text.split("\n")
            assert "{" in lines[value.line - 1]
            for key, inner in value.items():
                assert json.dumps(key) in lines[value.lines[key] - 1]
                check(inner)

    check(read)


def test_the_daemon_makes_plain_mappings() -> None:
    assert type(load("a.yaml", b"a: {b: c}", lambda: None)[0]) is dict
    assert type(load("a.json", b"{}", lambda: None)[0]) is dict
