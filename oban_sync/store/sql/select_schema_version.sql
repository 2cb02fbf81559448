-- Select the newest version installed, NULL where none is; the text of a query over a table that may be missing is parsed only where it is there.
-- Locks nothing.
SELECT
    CASE
        WHEN to_regclass('{schema}.oban_sync_migrations') IS NOT NULL THEN
            substring(
                query_to_xml('SELECT max(version) AS version FROM {schema}.oban_sync_migrations', false, false, '')::text
                FROM '<version>([0-9]+)</version>'
            )::integer
    END AS version;
