-- Select jobs as JSON objects, to change them in the same transaction.
-- Locks their rows, in the order of their ids.
SELECT CAST(row_to_json(j) AS text)
FROM {schema}.oban_jobs AS j
WHERE {filters}
ORDER BY j.id
FOR UPDATE
