"""Is imported by nobody. Whoever takes a module's name from a row would import it, and be seen to have."""
