"""The only SQL and the only psycopg: connections, statements, rows and the schema."""
