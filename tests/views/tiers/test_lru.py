"""The LRU cache."""

from __future__ import annotations

import threading

from hypothesis import given
from hypothesis import strategies as st

from alert_refresh.views.tiers.lru import LRU


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9)), max_size=60), st.integers(1, 5))
def test_an_lru_keeps_the_most_recently_used(steps: list[tuple[bool, int]], capacity: int) -> None:
    cache: LRU[int] = LRU(capacity)
    model: list[int] = []
    for put, key in steps:
        if put:
            cache.put(key, key + 1)
            model = [one for one in model if one != key] + [key]
            model = model[-capacity:]
        elif key in model:
            assert cache.get(key) == key + 1
            model = [one for one in model if one != key] + [key]
        else:
            assert cache.get(key) is None
    assert len(cache) == len(model) <= capacity
    assert cache.hits + cache.misses == sum(not put for put, _ in steps)


def test_an_lru_survives_many_threads() -> None:
    cache: LRU[int] = LRU(50)

    def work(seed: int) -> None:
        for n in range(3000):
            key = (n * seed) % 90
            if cache.get(key) is None:
                cache.put(key, key + 1)

    threads = [threading.Thread(target=work, args=(seed,), daemon=True) for seed in (1, 7, 11, 13)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(cache) == 50 and cache.hits + cache.misses == 12_000
