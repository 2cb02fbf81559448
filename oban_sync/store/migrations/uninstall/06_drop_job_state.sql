-- Drop the type of a job's state.
-- Locks nothing else; refuses while another object depends on it.
DROP TYPE IF EXISTS {schema}.oban_job_state;
