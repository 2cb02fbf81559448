-- Create the function that guesses from the planner how many jobs a queue has in a state, where there is none.
-- Locks nothing.
DO $do$
BEGIN
    IF to_regprocedure('{schema}.oban_count_estimate(text, text)') IS NULL THEN
        CREATE FUNCTION {schema}.oban_count_estimate(state text, queue text)
        RETURNS integer LANGUAGE plpgsql AS $func$
        DECLARE
            plan jsonb;
        BEGIN
            EXECUTE 'EXPLAIN (FORMAT JSON) SELECT FROM {schema}.oban_jobs WHERE state = $1::{schema}.oban_job_state AND queue = $2'
            INTO plan
            USING state, queue;
            RETURN (plan #>> '{{0,Plan,Plan Rows}}')::numeric;
        END
        $func$;
    END IF;
END
$do$;
