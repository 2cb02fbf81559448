-- Create the type of a job's state where there is none.
-- Locks nothing.
DO $do$
BEGIN
    IF to_regtype('{schema}.oban_job_state') IS NULL THEN
        CREATE TYPE {schema}.oban_job_state AS ENUM (
            'available', 'scheduled', 'suspended', 'executing', 'retryable', 'completed', 'discarded', 'cancelled'
        );
    END IF;
END
$do$;
