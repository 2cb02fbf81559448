"""The command: `python -m benchmarks`."""

from __future__ import annotations

import json
import signal
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
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the measured processes are ended too
    earlier = [json.loads(path.read_text(encoding="utf-8")) for path in options.joined]
    results = run(options)
    for one in earlier:
        results.join(one["rows"])
        results.note(one["notes"])
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
