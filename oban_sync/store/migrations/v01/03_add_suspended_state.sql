-- Add the state that types made by older versions of Oban lack.
-- Locks the type against other ALTER TYPEs; no table.
-- outside a transaction
ALTER TYPE {schema}.oban_job_state ADD VALUE IF NOT EXISTS 'suspended' AFTER 'scheduled';
