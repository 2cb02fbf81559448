"""The command: `python -m benchmarks`."""

from __future__ import annotations

import sys

from benchmarks import report
from benchmarks.options import parse
from benchmarks.run import run


def main(arguments: list[str] | None = None) -> int:
    """Measure what was asked for, print it, and write it where it was asked for.

    Returns:
        1 if a check failed, so that a figure is missing; else 0.
    """
    options = parse(arguments)
    results = run(options)
    print(report.text(results))
    if options.json is not None:
        report.write_json(results, options.json)
    if options.write:
        report.write_markdown(results)
    for problem in results.problems:
        print(problem, file=sys.stderr)
    return 1 if results.problems else 0


if __name__ == "__main__":
    sys.exit(main())
