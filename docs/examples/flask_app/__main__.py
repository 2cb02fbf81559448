"""Start the shop under gunicorn, on an embedded PostgreSQL where OBAN_DSN names no other."""

import os
import sys
from contextlib import ExitStack
from pathlib import Path

from gunicorn.app.wsgiapp import run

from oban_sync import Oban, embedded, schema

from . import create_app
from .models import db

SETTINGS = Path(__file__).parent.parent / "gunicorn.conf.py"


def main():
    with ExitStack() as stack:
        if "OBAN_DSN" not in os.environ:
            server = stack.enter_context(embedded.start())
            os.environ["OBAN_DSN"] = server.dsn()
            print(f"PostgreSQL runs in {server.directory}: {server.dsn()}", file=sys.stderr, flush=True)
        install(os.environ["OBAN_DSN"])
        # gunicorn's master is this process, so PostgreSQL stops when it ends, whichever way that is.
        sys.argv = ["gunicorn", "--config", str(SETTINGS), *sys.argv[1:], f"{__package__}:create_app()"]
        run()


def install(dsn):
    """Create the tables: Oban's, and those of the shop."""
    with Oban.create_pool(dsn) as pool:
        schema.install(pool)
    app = create_app(dsn)
    with app.app_context():
        db.create_all()
        db.engine.dispose()


if __name__ == "__main__":
    main()
