"""Names of views as SQL writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.views.names import among, canonical, name_fault, parts, quoted, split

VISIBLE = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=15)


def sql(part: str) -> str:
    return '"' + part.replace('"', '""') + '"'


@given(st.lists(VISIBLE, min_size=1, max_size=2))
def test_every_name_can_be_written_in_quotes_and_comes_out_as_it_is(names: list[str]) -> None:
    text = ".".join(sql(name) for name in names)
    assert parts(text) == tuple(names) == parts(canonical(text))
    assert quoted(text) == quoted(canonical(text)) == text
    assert canonical(canonical(text)) == canonical(text)


@given(st.lists(VISIBLE.map(sql), min_size=1, max_size=5))
def test_a_list_is_split_at_commas_outside_quotes(names: list[str]) -> None:
    assert split(" , ".join(names)) == [canonical(name) for name in names]


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('"sales-2024","2024_sales" , "Sales Daily"', ['"sales-2024"', '"2024_sales"', '"Sales Daily"']),
        ('"mv_a",mv_b', ["mv_a", "mv_b"]),
        ('"a,b",public."c d"', ['"a,b"', 'public."c d"']),
        ("mv_a,,", ["mv_a"]),
        ('mv_a,"open', ['mv_a,"open']),
    ],
)
def test_names_are_quoted_only_where_they_need_it(text: str, names: list[str]) -> None:
    assert split(text) == names


@pytest.mark.parametrize("text", ['"open', 'a"b"', '""', '"a""', '"a".', "sales-2024", '"a"."b"."c"', '"tab\t"'])
def test_an_invalid_name_has_a_fault_and_is_returned_unchanged(text: str) -> None:
    assert name_fault(text) is not None
    assert canonical(text) == text


def test_system_schemas_and_long_parts_are_faults_in_quotes_too() -> None:
    assert "system schema" in (name_fault('"pg_catalog".x') or "")
    assert "63 bytes" in (name_fault(f'"{"ä" * 32}"') or "")
    assert name_fault('"pg_catalog"') is None, "a view may be called so"


def test_a_view_is_found_by_its_name_with_quotes_or_as_in_the_catalog() -> None:
    names = ('"sales-2024"', "mv_a", 'public."x y"')
    assert [among(text, names) for text in ("sales-2024", '"sales-2024"', '"mv_a"', "public.x y", "mv_b", "")] == [
        '"sales-2024"', '"sales-2024"', "mv_a", 'public."x y"', None, None,
    ]  # fmt: skip
