"""The tables of `python -m benchmarks chaos`, in the pages that show them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import promises
from benchmarks.options import parse
from tests.chaos.counted import Counted

LOST = Counted("R1", "nothing is lost", "SIGKILL", "10 jobs", 1, {"lost": 0}, "lost 0", True)
TWICE = Counted("R2", "once", "SIGKILL", "10 jobs", 1, {"wrong": 2, "s": 1.25}, "wrong 0", False)
BESIDE = Counted("beside", "sys.exit()", "", "1 job", None, {"ended": 0}, "0", True)
MACHINE = {"date": "today"}


@pytest.fixture
def page(tmp_path: Path) -> Path:
    found = tmp_path / "page.md"
    found.write_text("# Before\n\n<!-- chaos -->\n<!-- end of chaos -->\n\nAfter.\n")
    return found


def rows(page: Path) -> list[str]:
    return [line for line in page.read_text().splitlines() if line.startswith(("| R", "| sys"))]


def test_rows_of_promises_that_were_not_tried_stay(page: Path) -> None:
    promises.write([TWICE, LOST], MACHINE, [page])
    promises.write([replace(LOST, seed=2), replace(LOST, seed=3)], MACHINE, [page])

    assert rows(page) == [
        "| R1 | nothing is lost | SIGKILL | 10 jobs | 2 | lost 0 | lost 0 | yes |",
        "| R1 | nothing is lost | SIGKILL | 10 jobs | 3 | lost 0 | lost 0 | yes |",
        "| R2 | once | SIGKILL | 10 jobs | 1 | wrong 2, s 1.2 | wrong 0 | **no** |",
    ]
    assert page.read_text().startswith("# Before\n")
    assert page.read_text().endswith("\nAfter.\n")


def test_a_peer_stands_beside_and_stays(page: Path) -> None:
    peer = replace(BESIDE, system="oban", counts={"ended": 1}, kept=False)
    promises.write([peer, BESIDE], MACHINE, [page])
    promises.write([LOST], MACHINE, [page])
    promises.write([LOST], MACHINE, [page])

    assert rows(page) == [
        "| R1 | nothing is lost | SIGKILL | 10 jobs | 1 | lost 0 | lost 0 | yes |",
        "| sys.exit() | 0 | **ended 1** | ended 0 |",
    ]
    assert page.read_text().count("Last run: date today.") == 1


def test_a_page_that_is_written_anew_keeps_the_tables(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Figures\n")
    promises.write([LOST], MACHINE, [page])
    page.write_text("# Other figures\n" + promises.kept(page.read_text()))
    promises.write([TWICE], MACHINE, [page])

    assert len(rows(page)) == 2
    assert page.read_text().count("## chaos") == 1
    assert promises.kept("# Figures\n") == ""


def test_the_group_is_run_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse(["chaos", "--promises", "R1,R5"]).promises == {"R1", "R5"}
    with pytest.raises(SystemExit):
        parse(["chaos", "drain"])
    assert "expected chaos alone" in capsys.readouterr().err
