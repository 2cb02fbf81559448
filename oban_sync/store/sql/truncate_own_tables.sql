-- Empty the tables that are ours alone, where they are installed, as tests do between them.
-- Locks the tables against everything (ACCESS EXCLUSIVE).
DO $empty$
DECLARE
  ours text;
BEGIN
  FOREACH ours IN ARRAY ARRAY['{schema}.oban_sync_crons', '{schema}.oban_sync_queues'] LOOP
    IF to_regclass(ours) IS NOT NULL THEN
      EXECUTE 'TRUNCATE ' || ours;
    END IF;
  END LOOP;
END
$empty$
