"""`alert-refresh approve` and `reject`."""

from __future__ import annotations

import json

import pytest

from tests.cli.stub import Stub, answer, refusal, run

PROPOSAL = "861f377e022a417f"


@pytest.mark.parametrize(("action", "sign", "done"), [("approve", "-", "approved"), ("reject", "=", "rejected")])
@pytest.mark.parametrize(("kind", "path"), [("targets", "publishing/targets"), ("rules", "rules")])
def test_a_decision_names_what_it_is_about(action: str, sign: str, done: str, kind: str, path: str) -> None:
    fields = {"message": f"Removal {done}", "proposal": PROPOSAL, "count": 2, "names": ["a", "b\x1b"], "generation": 7}
    with Stub(lambda _: answer(fields)) as daemon:
        found = daemon.run(action, kind, PROPOSAL)
        as_json = daemon.run(action, kind, PROPOSAL, "--json")
    assert found.output.splitlines() == [f"{kind}: Removal {done}: 2", f"  {sign} a", f"  {sign} b\\x1b"]
    assert json.loads(as_json.output) == fields
    assert daemon.paths == [f"POST /api/v2/{path}/{action}?proposal={PROPOSAL}"] * 2
    assert found.exit_code == 0


def test_a_proposal_that_is_not_held_any_more_is_a_5() -> None:
    with Stub(lambda _: refusal(409, "proposal_not_held", "No removal with this proposal is held")) as daemon:
        found = daemon.run("approve", "targets", PROPOSAL)
    assert (found.exit_code, found.stderr) == (5, "Error: No removal with this proposal is held\n")


def test_both_need_a_kind_whose_removals_can_be_held_and_a_proposal() -> None:
    for arguments in (("approve", "views", PROPOSAL), ("approve", "targets"), ("reject",)):
        assert run(*arguments).exit_code == 2
