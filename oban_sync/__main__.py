"""`python -m oban_sync` is `oban-sync`."""

from oban_sync.cli import main

__all__ = ["main"]

if __name__ == "__main__":
    main()
