from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result

from alert_refresh.cli import main
from alert_refresh.rules import text_file, warm_file
from tests.rules.examples import packed, rules

if TYPE_CHECKING:
    from pathlib import Path


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
        '  rules[0] (id "a").enabled: must be true or false, not a number, a date or the like (line 1)',
        '  rules[0] (id "a").priority: must be a whole number from -2147483648 to 2147483647 in decimal digits '
        "(line 1)",
        '  rules[1] (id "status").id: must be none of match, refresh, status (line 2)',
        '  rules[1] (id "status").match[0]: the value must be a regular expression of up to 4096 characters, in the '
        "syntax of RE2 (line 2)",
        '  rules[2] (id "c").whatever: is no field of a rule; the fields are id, family, enabled, priority, match, '
        "targets, description, annotations (line 3)",
        f"{broken}: the rules file is truncated: {len(packed(2)) - 57} of {len(packed(2)) - 56} bytes of its body",
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
                    "message": "must be none of match, refresh, status",
                    "line": 1,
                    "said": 'rules[0] (id "status").id: must be none of match, refresh, status (line 1)',
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
