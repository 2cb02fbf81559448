-- Renew the lease of each queue of this node by the database's clock, writing the row anew where it is missing.
-- Locks this node's own rows.
INSERT INTO {schema}.oban_producers AS p (uuid, name, node, queue, meta, started_at, updated_at)
SELECT uuid, name, node, queue, meta, moment.now, moment.now
FROM
  json_to_recordset(CAST(%(producers)s AS json)) AS beat (uuid uuid, name text, node text, queue text, meta jsonb),
  (SELECT timezone('UTC', clock_timestamp()) AS now) AS moment
ON CONFLICT (uuid) DO UPDATE SET updated_at = excluded.updated_at, meta = excluded.meta
RETURNING p.started_at = p.updated_at
