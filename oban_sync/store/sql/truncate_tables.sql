-- Empty the tables of Oban and begin their ids at 1 again, as tests do between them.
-- Locks the tables against everything (ACCESS EXCLUSIVE).
TRUNCATE {schema}.oban_jobs, {schema}.oban_leaders, {schema}.oban_producers RESTART IDENTITY CASCADE
