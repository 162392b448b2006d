"""pg_node_tree, parsed."""

from __future__ import annotations

from alert_refresh.views.skip.node_tree import parse
from alert_refresh.views.skip.proof import collect


def test_tokens_of_a_tree_may_look_like_its_syntax() -> None:
    nodes = parse(r"({ALIAS :aliasname a\ b\{c\} :colnames (\"x\" <>)} {CONST :consttype 23 :constvalue 4 [ 1 0 ]})")
    assert [node.name for node in nodes] == ["ALIAS", "CONST"]
    assert nodes[0].fields["aliasname"] == [r"a\ b\{c\}"] and nodes[1].number("consttype") == 23
    assert nodes[1].number("missing") == 0 and nodes[0].nodes("colnames") == []


def test_a_field_that_comes_twice_keeps_what_came_first() -> None:
    """An alias may be called `:expr`, and must not hide an expression."""
    nodes = parse("({TARGETENTRY :expr {FUNCEXPR :funcid 7 :args <>} :resname :expr :resno 1})")
    assert [node.name for node in nodes] == ["TARGETENTRY", "FUNCEXPR"]
    assert collect(nodes).functions == {7}
