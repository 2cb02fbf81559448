"""The tables of `python -m benchmarks chaos`, in the pages that show them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import promises
from benchmarks.options import parse
from tests.chaos.counted import Counted

LOST = Counted("R1", "nothing is lost", "SIGKILL", "10 jobs", 1, {"lost": 0}, "lost 0", True)
TWICE = Counted("R2", "once", "SIGKILL", "10 jobs", 1, {"wrong": 2, "s": 1.25}, "wrong 0", False)
BESIDE = Counted("beside", "sys.exit()", "", "1 job", None, {"ended": 0}, "0", True)
RUN = {"date": "2026-01-02 03:04 UTC", "commit": "abc", "machine": "two cores", "load": "0"}
LATER = {**RUN, "date": "2026-02-02 03:04 UTC", "commit": "def"}


@pytest.fixture
def page(tmp_path: Path) -> Path:
    found = tmp_path / "page.md"
    found.write_text("# Before\n\n<!-- chaos -->\n<!-- end of chaos -->\n\nAfter.\n")
    return found


@pytest.fixture
def write(tmp_path: Path, page: Path) -> Callable[..., None]:
    def write(found: list[Counted], described: dict[str, str] = RUN) -> None:
        promises.write(found, described, tmp_path / "chaos.json", [page])

    return write


def rows(page: Path) -> list[str]:
    return [line for line in page.read_text().splitlines() if line.startswith(("| R", "| sys"))]


def test_a_row_replaces_that_of_the_same_fault_and_seed_and_others_stay(write: Callable[..., None], page: Path) -> None:
    write([TWICE, LOST, replace(LOST, seed=2), replace(LOST, fault="SIGSTOP")])
    write([replace(LOST, seed=2, counts={"lost": 3}, kept=False), replace(LOST, seed=3)], LATER)

    assert rows(page) == [
        "| R1 | nothing is lost | SIGKILL | 10 jobs | 1 | lost 0 | lost 0 | yes | 2026-01-02, abc |",
        "| R1 | nothing is lost | SIGKILL | 10 jobs | 2 | lost 3 | lost 0 | **no** | 2026-02-02, def |",
        "| R1 | nothing is lost | SIGSTOP | 10 jobs | 1 | lost 0 | lost 0 | yes | 2026-01-02, abc |",
        "| R1 | nothing is lost | SIGKILL | 10 jobs | 3 | lost 0 | lost 0 | yes | 2026-02-02, def |",
        "| R2 | once | SIGKILL | 10 jobs | 1 | wrong 2, s 1.2 | wrong 0 | **no** | 2026-01-02, abc |",
    ]
    assert page.read_text().startswith("# Before\n")
    assert page.read_text().endswith("\nAfter.\n")


def test_a_peer_stands_beside_and_stays(write: Callable[..., None], page: Path) -> None:
    peer = replace(BESIDE, system="oban", counts={"ended": 1}, kept=False)
    write([peer, BESIDE])
    write([LOST])
    write([LOST], LATER)

    assert rows(page) == [
        "| R1 | nothing is lost | SIGKILL | 10 jobs | 1 | lost 0 | lost 0 | yes | 2026-02-02, def |",
        "| sys.exit() | 0 | **ended 1** | ended 0 |",
    ]
    assert page.read_text().count("Run on two cores.") == 1


def test_a_page_that_is_written_anew_keeps_the_tables(write: Callable[..., None], page: Path) -> None:
    page.write_text("# Figures\n")
    write([LOST])
    page.write_text("# Other figures\n" + promises.kept(page.read_text()))
    write([TWICE])

    assert len(rows(page)) == 2
    assert page.read_text().count("## chaos") == 1
    assert promises.kept("# Figures\n") == ""


def test_the_group_is_run_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse(["chaos", "--promises", "R1,R5"]).promises == {"R1", "R5"}
    with pytest.raises(SystemExit):
        parse(["chaos", "drain"])
    assert "expected chaos alone" in capsys.readouterr().err
