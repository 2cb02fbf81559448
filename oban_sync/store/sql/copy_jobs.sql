-- Insert jobs from lines of COPY's text format, in UTF-8.
-- Locks only the new rows.
COPY {schema}.oban_jobs (
  id, worker, queue, args, meta, tags, priority, max_attempts, attempt, state, inserted_at, scheduled_at
) FROM STDIN (ENCODING 'UTF8')
