"""What messages a module can make is found in its code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fault_messages import missing, plain, raised, texts

if TYPE_CHECKING:
    from pathlib import Path

CODE = '''
"""A docstring."""

def f(x):
    """Another one."""
    raise Permanent(f"the file {x} is " "missing", "storage")
    raise errors.Transient("is away")
    return {"key": None, 5: f"{x}"}
'''


def test_texts_are_found_whole_and_docstrings_are_not(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text(CODE)
    assert sorted(map(plain, texts(file))) == ["is away", "key", "storage", "the file  is missing"]


def test_what_is_raised_is_the_first_argument(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text(CODE)
    assert list(map(plain, raised(file, "Permanent", "Transient"))) == ["the file  is missing", "is away"]


def test_a_text_that_no_message_has_is_missing(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text(CODE)
    found = list(raised(file, "Permanent", "Transient"))
    assert missing(found, ["the file 'a' is missing"]) == {r"is\ away"}
    assert missing(found, ["x: the file 'a' is missing", "it is away"]) == set()
