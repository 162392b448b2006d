from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from alert_refresh.cli.main import main
from alert_refresh.observe.formats import escape
from alert_refresh.rules.forms import text_file, warm_file
from tests.cli.stub import Stub, answer, by_path
from tests.rules.examples import packed, rules


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["rules", *map(str, arguments)], catch_exceptions=False)


def test_what_is_packed_is_unpacked(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(text_file.to_yaml(rules(20)))
    packing = run("pack", tmp_path / "rules.yaml", tmp_path / "rules.warm")
    assert (packing.exit_code, packing.output) == (0, "20 rules packed\n")
    assert (tmp_path / "rules.warm").read_bytes() == packed(20)
    assert stat.S_IMODE((tmp_path / "rules.warm").stat().st_mode) == 0o644
    assert run("unpack", tmp_path / "rules.warm").output == text_file.to_yaml(rules(20))
    assert run("unpack", "--json-lines", tmp_path / "rules.warm").output == text_file.to_json_lines(rules(20))


def test_bad_rules_are_not_packed_and_all_of_them_are_named(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("- {id: a, priority: x}\n- {id: b}\n- {}\n")
    (tmp_path / "rules.warm").write_bytes(b"old")
    packing = run("pack", tmp_path / "rules.yaml", tmp_path / "rules.warm")
    assert packing.exit_code == 1 and (tmp_path / "rules.warm").read_bytes() == b"old"
    assert packing.stderr.splitlines() == [
        'rules[0] (id "a").priority: must be a whole number from -2147483648 to 2147483647 in decimal digits (line 1)',
        "rules[2].id: is missing (line 3)",
    ]


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("[]")
    packing = run("pack", tmp_path / "rules.yaml", tmp_path / "no" / "rules.warm")
    assert (
        packing.exit_code == 1 and packing.stderr == "file 'rules.warm' cannot be written: No such file or directory\n"
    )


@pytest.mark.parametrize("command", [["unpack"], ["pack", "x"]])
def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, command: list[str]) -> None:
    found = run(command[0], tmp_path / "no.warm", *command[1:])
    assert found.exit_code == 1 and found.stderr == "file 'no.warm' is missing\n"


def test_a_link_is_read_wherever_it_leads(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "rules.warm").write_bytes(packed(2))
    (tmp_path / "in" / "link").symlink_to("../rules.warm")
    assert run("check", tmp_path / "in" / "link").exit_code == 0


def test_check_names_every_fault(tmp_path: Path) -> None:
    good, bad, broken = tmp_path / "good.warm", tmp_path / "bad.yaml", tmp_path / "broken.warm"
    good.write_bytes(packed(12))
    bad.write_text("- {id: a, priority: x, enabled: 1}\n- {id: status, match: ['a=~\"(\"']}\n- {id: c, whatever: 1}\n")
    broken.write_bytes(packed(2)[:-1])
    checking = run("check", good, bad, broken)
    assert checking.exit_code == 1
    assert checking.output.splitlines() == [
        f"{good}: 12 good rules of 10 families",
        f"{bad}: 3 bad rules",
        '  rules[0] (id "a").enabled: must be true or false, not a number, a date or similar (line 1)',
        '  rules[0] (id "a").priority: must be a whole number from -2147483648 to 2147483647 in decimal digits '
        "(line 1)",
        '  rules[1] (id "status").id: must not be one of approve, match, refresh, reject, status (line 2)',
        '  rules[1] (id "status").match[0]: the value of "a" must be a regular expression of up to 4096 characters, '
        "in the syntax of RE2: a parenthesis is not closed (line 2)",
        '  rules[2] (id "c").whatever: is not a field of a rule; the fields are id, family, enabled, priority, match, '
        "targets, description, annotations (line 3)",
        f"{broken}: the rules file is truncated: {len(packed(2)) - 57} of {len(packed(2)) - 56} bytes of its body; "
        "write it anew with alert-refresh rules pack",
    ]
    assert run("check", good).exit_code == 0


def test_check_for_scripts_is_one_object(tmp_path: Path) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text("- {id: status}\n")
    (one,) = json.loads(run("check", "--json", file).output)["files"]
    assert one["bad"] == [
        {
            "index": 0,
            "id": "status",
            "faults": [
                {
                    "field": "id",
                    "message": "must not be one of approve, match, refresh, reject, status",
                    "line": 1,
                    "said": 'rules[0] (id "status").id: '
                    "must not be one of approve, match, refresh, reject, status (line 1)",
                }
            ],
        }
    ]
    assert (one["file"], one["rules"], one["error"]) == (str(file), 1, None)
    (one,) = json.loads(run("check", "--json", tmp_path / "no").output)["files"]
    assert (one["error"], one["error_type"]) == ("file 'no' is missing", "storage")


def test_packing_twice_makes_the_same_file(tmp_path: Path) -> None:
    (tmp_path / "rules.jsonl").write_text(text_file.to_json_lines(reversed(rules(9))))
    for name in ("one", "two"):
        assert run("pack", tmp_path / "rules.jsonl", tmp_path / name).exit_code == 0
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes() == warm_file.pack(rules(9))


def fed(data: bytes, *arguments: object) -> Result:
    return CliRunner().invoke(main, ["rules", *map(str, arguments)], input=data, catch_exceptions=False)


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_standard_input_is_read_like_a_file(tmp_path: Path, name: str) -> None:
    text = text_file.to_yaml(rules(3)).encode()
    assert fed(text, "check", name).output == f"{name}: 3 good rules of 3 families\n"
    assert fed(text, "unpack", name).output == text_file.to_yaml(rules(3))
    assert fed(text, "pack", name, tmp_path / "rules.warm").exit_code == 0
    assert (tmp_path / "rules.warm").read_bytes() == packed(3)
    assert fed(packed(3), "unpack", name).output == text_file.to_yaml(rules(3))
    bad = fed(b"- {}", "check", name)
    assert (bad.exit_code, bad.output.splitlines()) == (
        1,
        [f"{name}: 1 bad rule", "  rules[0].id: is missing (line 1)"],
    )


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the real program from a shell; `$RULES` is `alert-refresh rules`."""
    program = f"{sys.executable} -m alert_refresh rules"
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "RULES": program}
    return subprocess.run(["bash", "-c", command], cwd=folder, env=environ, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("cat good | $RULES check -", 0, "-: 2 good rules"),
        ("$RULES check /dev/stdin < good", 0, "/dev/stdin: 2 good rules"),
        ("cat good | $RULES check /dev/stdin", 0, "/dev/stdin: 2 good rules"),
        ("$RULES check <(cat good)", 0, "2 good rules"),
        ("mkfifo pipe; cat good > pipe & $RULES check pipe", 0, "pipe: 2 good rules"),
        ("$RULES check - <&-", 1, "-: standard input is closed"),
        ("$RULES check - 0> /dev/null", 1, "-: standard input cannot be read: Bad file descriptor"),
        ("$RULES pack - good < good", 1, "file 'good' is the file that was read"),
        ("ulimit -v 4000000; $RULES check /dev/zero", 1, "file 'zero' is larger than 268435456 bytes"),
    ],
)
def test_what_a_shell_hands_over_is_read(tmp_path: Path, command: str, code: int, said: str) -> None:
    (tmp_path / "good").write_text(text_file.to_yaml(rules(2)))
    found = shell(command, tmp_path)
    assert (found.returncode, "Traceback" in found.stderr) == (code, False), found.stderr
    assert said in found.stdout + found.stderr
    assert (tmp_path / "good").read_text() == text_file.to_yaml(rules(2))


def unreadable(folder: Path) -> dict[Path, str]:
    """Unreadable files and their errors."""
    for one, other in (("loop", "loop"), ("around", "back"), ("back", "around")):
        (folder / one).symlink_to(other)
    (folder / "plain").write_text("[]")
    (folder / "dangling").symlink_to("nowhere")
    return {
        folder / "loop": "file 'loop' cannot be read: Too many levels of symbolic links",
        folder / "around": "file 'around' cannot be read: Too many levels of symbolic links",
        folder / "loop" / "x": "file 'x' cannot be read: Too many levels of symbolic links",
        folder: f"file {folder.name!r} cannot be read: Is a directory",
        Path(): "file '.' cannot be read: Is a directory",
        folder / "dangling": "file 'dangling' is missing",
        folder / "plain" / "x": "file 'x' cannot be read: Not a directory",
        folder / ("x" * 300): f"file '{'x' * 300}' cannot be read: File name too long",
        Path("/proc/self/mem"): "file 'mem' cannot be read: Input/output error",
        folder / "a\x1b[31m\nb\u202e": r"file 'a\x1b[31m\nb\u202e' is missing",
    }


def test_an_unreadable_file_is_a_line_and_exit_status_1(tmp_path: Path) -> None:
    for path, said in unreadable(tmp_path).items():
        checking = run("check", path)
        assert (checking.exit_code, checking.output) == (1, f"{escape(str(path))}: {said}\n")
        for found in (run("unpack", path), run("pack", path, tmp_path / "out")):
            assert (found.exit_code, found.stdout, found.stderr) == (1, "", f"{said}\n")
        (one,) = json.loads(run("check", "--json", path).output)["files"]
        assert (one["file"], one["error"], one["error_type"]) == (str(path), said, "storage")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", [["check"], ["unpack"], ["pack"]])
def test_a_file_that_may_not_be_read_is_an_error(tmp_path: Path, command: list[str]) -> None:
    (tmp_path / "secret").write_text("[]")
    (tmp_path / "secret").chmod(0)
    drop = "import os, sys; os.setgroups([]); os.setgid(65534); os.setuid(65534)" if os.geteuid() == 0 else "import sys"
    # What another user may not read is imported first.
    code = f"""
import contextlib
import alert_refresh.files.write
from alert_refresh.cli.main import main
with contextlib.suppress(SystemExit):
    main(["rules", "check", "/dev/null"])
{drop}
main(["rules", *sys.argv[1:]])
"""
    tmp_path.chmod(0o755)
    file = os.open(tmp_path, os.O_RDONLY)  # the folders above may not be entered by another user
    try:
        path = f"/proc/self/fd/{file}/secret"
        arguments = [sys.executable, "-c", code, *command, path, *(["out"] if command == ["pack"] else [])]
        # What measures coverage could not write its data as another user.
        environ = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        found = subprocess.run(arguments, capture_output=True, text=True, timeout=60, pass_fds=(file,), env=environ)
    finally:
        os.close(file)
    assert found.returncode == 1
    assert "file 'secret' cannot be read: Permission denied" in found.stdout + found.stderr
    assert "Traceback" not in found.stderr


def test_a_file_is_not_packed_onto_itself_under_any_name(tmp_path: Path) -> None:
    text = text_file.to_yaml(rules(2))
    (tmp_path / "a").write_text(text)
    (tmp_path / "link").symlink_to("a")
    (tmp_path / "hard").hardlink_to(tmp_path / "a")
    (tmp_path / "folder").mkdir()
    others = [tmp_path / name for name in ("a", "link", "hard")] + [tmp_path / "folder" / ".." / "a"]
    for source in others:
        for warm in others:
            packing = run("pack", source, warm)
            assert (packing.exit_code, packing.stdout) == (1, "")
            assert packing.stderr == f"file {warm.name!r} is the file that was read; name another one to write\n"
    assert (tmp_path / "a").read_text() == text and (tmp_path / "link").is_symlink()
    assert run("pack", tmp_path / "a", tmp_path / "folder" / "a").exit_code == 0


@pytest.mark.parametrize("warm", ["-", ".", "/", "/dev/null", "/dev/rules.warm", "folder"])
def test_what_is_not_a_regular_file_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warm: str) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rules.yaml").write_text("[]")
    (tmp_path / "folder").mkdir()
    packing = run("pack", "rules.yaml", warm)
    assert (packing.exit_code, packing.stdout) == (1, "")
    assert packing.stderr.endswith(" cannot be written: it is not a regular file\n")
    assert sorted(one.name for one in tmp_path.iterdir()) == ["folder", "rules.yaml"]


def test_names_and_ids_are_shown_without_control_characters(tmp_path: Path) -> None:
    file = tmp_path / "a\x1b[31m\nb"
    file.write_text('- {id: "x\\e[31m\\n", priority: z}\n')
    found = run("check", file)
    assert found.exit_code == 1
    assert all(line.isprintable() for line in found.output.split("\n")) and len(found.output.splitlines()) == 3
    assert run("unpack", file).stderr.count("\n") == len(run("unpack", file).stderr.splitlines())
    assert run("unpack", file).stderr.replace("\n", "").isprintable()


RULE = {
    "id": "page", "family": "paging", "enabled": True, "priority": 100, "match": ['severity="critical"', "a\x1b"],
    "targets": ["x", "y"], "description": "", "annotations": {},
}  # fmt: skip
MATCHED = {
    "generation": 7, "targets_generation": None, "rules": [RULE],
    "targets": [{"name": "x", "type": "slack", "format": "slack", "state": "fresh"}],
    "unavailable": [{"name": "y", "reason": "missing"}],
}  # fmt: skip
NONE = {"generation": 7, "rules": [], "targets_generation": None, "targets": [], "unavailable": []}
SERVED = {
    "GET /api/v2/rules": answer({"generation": 7, "rules": [RULE]}),
    "GET /api/v2/rules/page": answer(RULE),
    "POST /api/v2/rules/match": answer(MATCHED),
}


def test_the_rules_of_a_daemon_are_lines() -> None:
    with Stub(by_path(SERVED)) as daemon:
        found = daemon.run("rules")
        as_json = daemon.run("rules", "list", "--family", "paging", "-o", "json")
    assert found.output.splitlines() == [
        "ID     FAMILY   PRIORITY   ENABLED   MATCH                       TARGETS",
        'page   paging   100        yes       severity="critical",a\\x1b   x,y',
    ]
    assert json.loads(as_json.output) == {"generation": 7, "rules": [RULE]}
    assert daemon.paths == ["GET /api/v2/rules", "GET /api/v2/rules?family=paging"]


def test_one_rule_of_a_daemon_is_shown() -> None:
    with Stub(by_path(SERVED)) as daemon:
        found = daemon.run("rules", "get", "page")
        as_json = daemon.run("rules", "get", "page", "--json")
        daemon.run("rules", "get", "a b")
    assert 'match:       severity="critical"\n             a\\x1b\ntargets:     x\n             y\n' in found.output
    assert json.loads(as_json.output) == RULE and daemon.paths[-1] == "GET /api/v2/rules/a%20b"


def test_an_alert_is_matched_and_leads_to_targets(tmp_path: Path) -> None:
    with Stub(by_path(SERVED)) as daemon:
        found = daemon.run(
            "rules", "match", "severity=critical", "url=a=b", "empty=", "--token-file", f"{tmp_path}/none"
        )
        as_json = daemon.run("rules", "match", "-o", "json")
    assert found.output.splitlines() == [
        "RULE   FAMILY   PRIORITY   TARGETS",
        "page   paging   100        x,y",
        "",
        "TARGET   TYPE    STATE",
        "x        slack   fresh",
        "y        -       missing",
    ]
    assert found.exit_code == as_json.exit_code == 0, "it needs no token"
    assert json.loads(daemon.asked[0].body) == {"labels": {"severity": "critical", "url": "a=b", "empty": ""}}
    assert json.loads(as_json.output) == MATCHED and json.loads(daemon.asked[1].body) == {"labels": {}}


def test_an_alert_that_no_rule_matches_is_a_1() -> None:
    with Stub(lambda _: answer(NONE)) as daemon:
        found = daemon.run("rules", "match", "severity=critical")
        for wrong in ("severity", "=critical"):
            assert daemon.run("rules", "match", wrong).exit_code == 2
    assert found.exit_code == 1 and len(daemon.asked) == 1


def test_an_empty_name_of_a_file_is_a_2() -> None:
    for arguments in (("check", ""), ("unpack", ""), ("pack", "", "x")):
        assert run(*arguments).exit_code == 2
