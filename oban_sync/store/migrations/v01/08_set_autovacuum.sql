-- Vacuum and analyse the jobs early and fast, and leave room on their pages, unless somebody has tuned the table.
-- Locks oban_jobs against vacuum and other DDL (SHARE UPDATE EXCLUSIVE); reads and writes go on.
DO $do$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_class
        WHERE oid = '{schema}.oban_jobs'::regclass AND reloptions::text ~ 'autovacuum_'
    ) THEN
        ALTER TABLE {schema}.oban_jobs SET (
            autovacuum_vacuum_scale_factor = 0.02,
            autovacuum_vacuum_threshold = 50,
            autovacuum_vacuum_insert_scale_factor = 0.02,
            autovacuum_vacuum_insert_threshold = 1000,
            autovacuum_vacuum_cost_limit = 2000,
            autovacuum_vacuum_cost_delay = 1,
            autovacuum_analyze_scale_factor = 0.02,
            autovacuum_analyze_threshold = 100,
            fillfactor = 85
        );
    END IF;
END
$do$;
