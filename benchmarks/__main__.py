"""The command: `python -m benchmarks`."""

from __future__ import annotations

import json
import signal
import sys

from benchmarks import chaos, machine, promises, report
from benchmarks.options import CHAOS, Options, parse
from benchmarks.run import run


def main(arguments: list[str] | None = None) -> int:
    """Measure what was asked for, print it, and write it where it was asked for.

    Returns:
        1 if a check failed, so that a figure is missing, or a promise was not kept; else 0.
    """
    options = parse(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the measured processes are ended too
    if options.groups == (CHAOS,):
        return tried(options)
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


def tried(options: Options) -> int:
    """Try what is promised, print what was counted, and write it where it was asked for.

    Returns:
        1 if a promise was not kept or could not be tried; else 0.
    """
    found, problems = chaos.run(options)
    print(promises.text(found))
    if options.write:
        promises.write(found, machine.describe(options.cpus))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 0 if not problems and all(one.kept for one in found if one.system == "oban_sync") else 1


if __name__ == "__main__":
    sys.exit(main())
