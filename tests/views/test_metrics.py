"""The metrics of each view."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from alert_refresh.views.metrics import OUTCOMES
from tests.postgres import VIEWS
from tests.views.test_source import block
from tests.web.views.world import ViewsWorld


def samples(world: ViewsWorld) -> dict[tuple[str, str, str], float]:
    text = world.app.test_client().get("/metrics").get_data(as_text=True)
    return {
        (
            sample.name.removeprefix("alert_refresh_view_"),
            sample.labels["view"],
            sample.labels.get("outcome", ""),
        ): value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.startswith("alert_refresh_view_") and "le" not in sample.labels
        for value in [sample.value]
    }


def test_every_series_is_there_from_the_start_and_moves_with_what_becomes_of_a_view() -> None:
    with ViewsWorld(VIEWS_REFRESH_ENABLED="false", VIEWS_REFRESH_MAX_RETRIES="0") as world:
        world.start()
        found = samples(world)
        for view in VIEWS:
            assert [found["refreshes_total", view, outcome] for outcome in OUTCOMES] == [0] * len(OUTCOMES)
            assert found["refresh_duration_seconds_count", view, ""] == 0
            assert found["last_success_timestamp_seconds", view, ""] == 0
            assert ("age_seconds", view, "") not in found
        with world.database.connect() as blocker, blocker.transaction():
            block(blocker, "mv_descendant_counts")
            world.post()
        found = samples(world)
        assert found["refreshes_total", "mv_entity_ancestors", "refreshed"] == 1
        assert found["refreshes_total", "mv_descendant_counts", "failed"] == 1
        assert found["refresh_duration_seconds_count", "mv_entity_ancestors", ""] == 1
        assert found["refresh_duration_seconds_count", "mv_descendant_counts", ""] == 0
        assert 0 <= found["age_seconds", "mv_entity_ancestors", ""] < 60
        assert ("age_seconds", "mv_descendant_counts", "") not in found
        assert found["size_bytes", "mv_entity_ancestors", ""] > 0
        world.database.run("analyze mv_entity_ancestors", "drop index mv_entity_ancestors_key")
        world.post("?view=mv_entity_ancestors")
        found = samples(world)
        assert found["rows", "mv_entity_ancestors", ""] > 200
        assert found["refreshes_total", "mv_entity_ancestors", "blocking"] == 1
        status = world.get("/refresh/status").get_json()["views"]["mv_entity_ancestors"]
        assert status["outcome"] == "blocking" and status["rows"] > 200 and status["size_bytes"] > 0
        assert status["last_success"] == status["last_refreshed"] == found[
            "last_success_timestamp_seconds", "mv_entity_ancestors", ""
        ]  # fmt: skip


def test_without_a_database_there_is_no_series_of_a_view() -> None:
    from alert_refresh.daemon import Daemon, read_config
    from alert_refresh.web.app import create_app

    text = create_app(Daemon(read_config({}))).test_client().get("/metrics").get_data(as_text=True)
    assert "alert_refresh_view_" not in text
