-- Tells alert-refresh of changes at once: it listens on the channel alert_refresh and refreshes what reads the table that
-- the payload names, or the view that it names, VIEWS_NOTIFY_DEBOUNCE after the first notification. PostgreSQL sends equal
-- notifications of one transaction once, when it commits.
create or replace function notify_alert_refresh() returns trigger language plpgsql as $$
begin
    perform pg_notify('alert_refresh', tg_table_schema || '.' || tg_table_name);
    return null;
end
$$;

create or replace trigger entities_notify_alert_refresh
    after insert or update or delete or truncate on entities
    for each statement execute function notify_alert_refresh();

-- By hand, for a view, a table, or with an empty payload for everything:
--     notify alert_refresh, 'mv_entity_ancestors';
