-- Create the schema where there is none: naming an existing one needs no right to create schemas.
-- Locks nothing.
DO $do$
BEGIN
    IF to_regnamespace('{schema}') IS NULL THEN
        CREATE SCHEMA {schema};
    END IF;
END
$do$;
