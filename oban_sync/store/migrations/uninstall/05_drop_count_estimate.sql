-- Drop the function that guesses counts.
-- Locks nothing else; refuses while another object depends on it.
DROP FUNCTION IF EXISTS {schema}.oban_count_estimate(text, text);
