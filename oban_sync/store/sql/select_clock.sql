-- Select the database's clock in seconds since 1970.
-- Locks nothing.
SELECT CAST(extract(epoch FROM clock_timestamp()) AS float8)
