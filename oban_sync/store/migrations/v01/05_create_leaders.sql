-- Create the table that elects one node of a name. Unlogged: a crash empties it, and the nodes elect anew.
-- Locks nothing that exists.
CREATE UNLOGGED TABLE IF NOT EXISTS {schema}.oban_leaders (
    name text PRIMARY KEY DEFAULT 'oban',
    node text NOT NULL,
    elected_at timestamp NOT NULL,
    expires_at timestamp NOT NULL
);
