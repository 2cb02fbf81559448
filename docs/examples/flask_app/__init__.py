"""A Flask application whose orders and their jobs are stored in one transaction, and whose workers run the jobs.

    python -m docs.examples.flask_app                 under gunicorn: 2 workers of 4 threads, on http://127.0.0.1:8000
    python -m docs.examples.flask_app --preload       the same, loaded once before gunicorn forks its workers

A PostgreSQL is started for it, and stopped with it, where OBAN_DSN names none. Other arguments go to gunicorn.
"""

import os

from flask import Flask
from psycopg.conninfo import conninfo_to_dict

from oban_sync import Oban

from . import jobs, views
from .models import db


def create_app(dsn=None):
    """Make the application. It connects to nothing and starts nothing: gunicorn's hooks start the queues."""
    app = Flask(__name__)
    app.config["SQLALCHEMY_DATABASE_URI"] = "postgresql+psycopg://"
    app.config["SQLALCHEMY_ENGINE_OPTIONS"] = {"connect_args": conninfo_to_dict(dsn or os.environ["OBAN_DSN"])}
    db.init_app(app)
    jobs.run_inside(app)
    app.register_blueprint(views.shop)
    with app.app_context():
        app.extensions["oban"] = Oban(
            engine=db.engine,
            queues={"receipts": 5, "stock": 5},
            shutdown_grace_period=float(os.environ.get("OBAN_SHUTDOWN_GRACE_PERIOD", 15)),
        )
    return app
