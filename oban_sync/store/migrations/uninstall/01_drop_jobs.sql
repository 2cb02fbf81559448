-- Drop the jobs, whoever made the table, with their indexes.
-- Locks the table against everything (ACCESS EXCLUSIVE) and refuses while another object depends on it.
DROP TABLE IF EXISTS {schema}.oban_jobs;
