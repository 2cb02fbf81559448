"""A blocking job queue on PostgreSQL with the guarantees of Oban."""

from oban_sync._version import __version__

__all__ = ["__version__"]
