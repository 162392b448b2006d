"""docs/guard.md shows the table of cases as the guard decides them."""

from __future__ import annotations

from pathlib import Path

from tests.engine.guard.cases import CASES, Step

DOCUMENT = Path(__file__).parents[3] / "docs" / "guard.md"
HEAD = "| case | step | the source has | served | held |\n|---|---|---:|---:|---:|\n"


def how(step: Step) -> str:
    """A step in words."""
    by = "events" if step.events else "refresh"
    before = {"approve": "approved, then ", "reject": "rejected, then "}.get(step.decision, "")
    return f"{before}{by} at {step.at:g} s"


def table() -> str:
    rows = []
    for case in CASES:
        rows.append(f"| {case.title} | at first | {len(case.start)} | {len(case.start)} | |")
        rows += [
            f"| | {how(step)} | {len(step.found)} | {len(step.served)} | {len(step.held) or ''} |"
            for step in case.steps
        ]
    return HEAD + "\n".join(rows) + "\n"


def test_the_table_in_the_document_is_that_of_the_tests() -> None:
    assert table() in DOCUMENT.read_text()
