-- Select jobs as JSON objects, a page in the order of their ids.
-- Locks nothing.
SELECT CAST(row_to_json(j) AS text)
FROM {schema}.oban_jobs AS j
WHERE {filters}
ORDER BY j.id {order}
LIMIT CAST(%s AS bigint)
