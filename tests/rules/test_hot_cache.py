from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from alert_refresh.rules.hot_cache import HotCache
from tests.rules.examples import rule, rule_set, rules

if TYPE_CHECKING:
    from alert_refresh.rules.rule_set import RuleSet


def many(count: int, cache: HotCache, before: RuleSet | None = None, *, word: str = "one") -> RuleSet:
    return rule_set(rules(count, word=word), cache, before)


def test_a_rule_in_use_is_a_hit() -> None:
    found = many(5, HotCache(10, {}))
    assert found.get("rule-000003") == rules(5)[3]
    stats = found.stats()
    assert (stats.size, stats.capacity, stats.hits, stats.misses, stats.evictions) == (5, 10, 1, 0, 0)


def test_a_miss_is_looked_up_in_the_warm_set_and_promoted() -> None:
    found = many(30, HotCache(20, {}))
    assert "rule-000025" not in found.hot
    assert found.get("rule-000025") == rules(30)[25]
    assert found.stats().misses == 1 and found.stats().hits == 0
    found.get("rule-000025")
    assert found.stats().misses == 1 and found.stats().hits == 1


def test_a_rule_that_there_is_not_is_a_miss_and_not_promoted() -> None:
    found = many(5, HotCache(10, {}))
    assert found.get("nothing") is None
    assert found.stats().misses == 1 and found.stats().size == 5


def test_a_tenth_is_evicted_at_a_time_those_unused_for_longest() -> None:
    found = many(150, HotCache(100, {}))
    for number in range(10, 100):
        found.get(f"rule-{number:06d}")
    found.get("rule-000120")
    assert found.stats().evictions == 10 and found.stats().size == 91
    assert not {f"rule-{number:06d}" for number in range(10)} & set(found.hot)
    for number in range(121, 130):
        found.get(f"rule-{number:06d}")
    assert found.stats().evictions == 10 and found.stats().size == 100


def test_the_least_recently_used_is_evicted_first_regardless_of_its_count() -> None:
    found = many(30, HotCache(20, {}))
    for _ in range(50):
        found.get("rule-000000")
    for number in range(1, 20):
        found.get(f"rule-{number:06d}")
    found.get("rule-000025")
    assert found.stats().evictions == 2 and "rule-000000" not in found.hot and "rule-000002" in found.hot
    assert found.get("rule-000025") == rules(30)[25] and found.stats().misses == 1


def test_looks_at_the_counts_do_not_make_a_promoted_rule_old() -> None:
    found = many(5, HotCache(3, {}))
    for _ in range(100):
        found.stats()
    for number in range(3):
        found.get(f"rule-{number:06d}")
    found.get("rule-000003")
    found.get("rule-000004")
    assert set(found.hot) == {"rule-000002", "rule-000003", "rule-000004"}
    assert (found.stats().hits, found.stats().misses) == (3, 2)


def test_the_cache_never_holds_more_than_its_capacity() -> None:
    for capacity in (1, 3, 25):
        found = many(60, HotCache(capacity, {}))
        for number in [*range(60), *range(0, 60, 7)]:
            found.get(f"rule-{number:06d}")
            assert len(found.hot) <= capacity


def test_a_new_load_keeps_the_rules_used_most_hot() -> None:
    cache = HotCache(20, {})
    first = many(50, cache)
    for _ in range(3):
        first.get("rule-000045")
    second = many(50, cache, first, word="two")
    assert "rule-000045" in second.hot and len(second.hot) == 20
    hot = second.get("rule-000045")
    assert hot is not None and hot.description == "two"
    assert second.hot["rule-000045"].uses == 4


def test_a_rule_that_went_is_not_hot_any_more() -> None:
    cache = HotCache(20, {})
    first = many(10, cache)
    first.get("rule-000009")
    second = many(5, cache, first)
    assert second.get("rule-000009") is None and set(second.hot) == set(second.rules)


def test_warm_up_prefers_the_rules_used_most_before_a_restart() -> None:
    cache = HotCache(10, {"rule-000049": 7, "rule-000048": 3, "gone": 99})
    found = many(50, cache)
    assert list(found.hot)[:3] == ["rule-000049", "rule-000048", "rule-000000"] and len(found.hot) == 10
    assert cache.uses() == {}
    found.get("rule-000048")
    assert cache.uses() == {"rule-000049": 7, "rule-000048": 4}


def test_families_and_all_come_by_id() -> None:
    found = rule_set([rule("c", family="x"), rule("a", family="x"), rule("b", family="y")])
    assert [one.id for one in found.all()] == ["a", "b", "c"]
    assert [one.id for one in found.family("x")] == ["a", "c"]
    assert found.family("none") == () and found.families() == {"x": 2, "y": 1}


def test_hits_of_many_threads_are_all_counted() -> None:
    found = many(100, HotCache(50, {}))
    start = threading.Barrier(8)

    def read() -> None:
        start.wait()
        for number in range(2000):
            found.get(f"rule-{number % 50:06d}")
            if number % 100 == 0:
                found.stats()

    threads = [threading.Thread(target=read) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = found.stats()
    assert stats.hits == 16_000 and stats.misses == 0
    assert sum(hot.uses for hot in found.hot.values()) > 15_000


def test_promotions_of_many_threads_keep_the_bound() -> None:
    found = many(500, HotCache(40, {}))
    start = threading.Barrier(4)
    wrong: list[str] = []

    def read(offset: int) -> None:
        start.wait()
        for number in range(1500):
            rule_id = f"rule-{(number * 7 + offset) % 500:06d}"
            one = found.get(rule_id)
            if one is None or one.id != rule_id or len(found.hot) > 40:
                wrong.append(rule_id)

    threads = [threading.Thread(target=read, args=(offset,)) for offset in range(0, 400, 100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stats = found.stats()
    assert not wrong and stats.hits + stats.misses == 6000 and stats.evictions > 0
