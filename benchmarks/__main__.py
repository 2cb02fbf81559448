"""The command: `python -m benchmarks`."""

from __future__ import annotations

import sys

from benchmarks import report
from benchmarks.options import Options, parse
from benchmarks.run import run


def main(arguments: list[str] | None = None) -> int:
    """Measure what was asked for, print it, and write it where it was asked for."""
    options: Options = parse(arguments)
    results = run(options)
    print(report.text(results))
    if options.json is not None:
        report.write_json(results, options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
