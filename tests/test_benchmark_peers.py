"""Other queues in the benchmarks: their environments, what is missing, goals and the picture. No network is needed."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from benchmarks import goals, plot, report, venvs
from benchmarks.options import Options, parse
from benchmarks.peers import PEERS, Peer
from benchmarks.remote import SystemSpec
from benchmarks.results import BARE, OURS, Result, Results
from benchmarks.run import run
from benchmarks.servers import Missing
from tests.fake_queue import files

ROOT = Path(__file__).parent.parent
PRESENT = sys.version_info[:2]
FUTURE = (3, 99)


def test_an_environment_is_made_once_and_anew_if_it_was_not_finished(tmp_path: Path) -> None:
    python = venvs.prepare("fake", (), PRESENT, tmp_path)
    mark = Path(python).parents[1] / "mark"
    mark.touch()

    assert venvs.prepare("fake", (), PRESENT, tmp_path) == python
    assert mark.exists()
    assert Path(python).is_relative_to(tmp_path)
    assert venvs.versions(python, ["pip"])[0].startswith("3.")

    (Path(python).parents[1] / "requirements.txt").unlink()

    assert venvs.prepare("fake", (), PRESENT, tmp_path) == python
    assert not mark.exists()


def test_a_python_that_is_missing_is_named() -> None:
    with pytest.raises(Missing, match=r"needs Python 3\.99 or later .* found none"):
        venvs.interpreter(FUTURE)


def test_a_package_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    wheel = str(tmp_path / "absent-1.0-py3-none-any.whl")
    with pytest.raises(Missing, match=rf"could not install {wheel}: ERROR"):
        venvs.prepare("fake", (wheel,), PRESENT, tmp_path / "venvs")


def test_an_unknown_peer_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--peers", "oban,nobody"])

    assert "got nobody" in capsys.readouterr().err
    assert parse(["--peers", "chancy,oban,chancy"]).peers == ("chancy", "oban")
    assert parse(["--peers", "all"]).peers == tuple(PEERS)
    assert parse([]).peers == ()


@pytest.mark.parametrize("name", PEERS)
def test_peers_import_nothing_that_their_environment_has_not(name: str) -> None:
    for spec in PEERS[name].systems.values():
        packages = imported(spec.module)
        assert "oban_sync" not in packages
        assert name in packages


def test_a_peer_is_measured_beside_us_and_another_is_skipped(
    server_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = SystemSpec("tests.fake_queue", strict=False, share=0.5, about="a file")
    monkeypatch.setitem(PEERS, "fake", Peer((), {"fake": fake}, PRESENT, files))
    monkeypatch.setitem(PEERS, "future", Peer(("pip",), {"future": fake}, FUTURE))
    results = run(options(server_dsn, tmp_path))

    found = {result.workload: result for result in results if result.system == "fake"}
    ours = {result.workload: result for result in results if result.system == OURS}
    assert results.problems == []
    assert list(results.skipped) == ["future"]
    assert {workload.partition(",")[0] for workload in found} >= {"enqueue", "drain", "scheduled by the node"}
    assert found["enqueue, 1 thread"].jobs == ours["enqueue, 1 thread"].jobs / 2
    assert results.ratio(found["enqueue, 1 thread"], BARE) is not None
    assert results.notes == [
        "fake: a file",
        "fake: does not store how many jobs are completed and flawed: not checked",
        "fake: starts scheduled jobs before they are due",
    ]
    assert {"SQLite", "peer fake"} <= set(results.machine)
    assert "- future: needs Python 3.99" in report.markdown(results)


def test_goals_are_met_missed_or_not_measured() -> None:
    results = Results()
    add(results, goals.ONE, OURS, 30_000)
    add(results, goals.ONE, "pgqueuer at 10", 3_100)
    add(results, goals.TWO, OURS, 60_000)
    verdicts = {(judged.goal.name, judged.goal.text): judged[1:] for judged in goals.judge(results)}

    assert verdicts["drain, 10 slots, one process", ">= 10x pgqueuer at 10"] == ("9.68", "missed")
    assert verdicts["drain, two processes", ">= 1.4x one"] == ("2.00", "met")
    assert verdicts["enqueue one by one", ">= 2x oban"] == ("-", "not measured")


def test_the_best_of_the_others_counts_for_the_pick_up() -> None:
    results = Results()
    workload = "latency: call to start, p50"
    for system, milliseconds in ((OURS, 1.5), ("oban", 2.5), ("chancy", 4.0), (BARE, 0.1)):
        add(results, workload, system, milliseconds)
    rule = goals.fraction_of_best(workload, goals.POSTGRESQL_PEERS, 0.55)

    assert rule(results) == goals.Found(0.6, False)


def test_the_picture_has_a_bar_for_each_figure() -> None:
    results = Results()
    for system, rate in ((OURS, 30_000.0), ("<b>", 30.0), (BARE, 45_000.0)):
        add(results, goals.ONE, system, rate)
    drawn = ElementTree.fromstring(plot.svg(results))  # noqa: S314 - our own text
    texts = ["".join(text.itertext()) for text in drawn.iter("{http://www.w3.org/2000/svg}text")]

    assert {"30,000", "30", "45,000", "<b>", goals.ONE} <= set(texts)
    assert any("logarithmic" in text for text in texts)


def test_bars_are_logarithms_only_where_the_range_is_wide() -> None:
    narrow, wide = plot.scale([50.0, 100.0]), plot.scale([10.0, 1000.0])

    assert plot.length(50.0, narrow) == 0.5
    assert not narrow[0]
    assert wide[0]
    assert 0 < plot.length(10.0, wide) < plot.length(100.0, wide) < plot.length(1000.0, wide) == 1.0


def add(results: Results, workload: str, system: str, value: float) -> None:
    results.add(Result("drain", workload, system, "jobs/s", True, 1), 0, value)


def options(server_dsn: str, home: Path) -> Options:
    """Ask for few and small workloads, with the peers of the test."""
    arguments = ["enqueue", "drain", "scheduled", "--quick", "--scale", "0.02", "--rounds", "1"]
    return parse([*arguments, "--dsn", server_dsn, "--venvs", str(home), "--peers", "fake,future"])


def imported(module: str) -> set[str]:
    """Give the packages that a module imports, itself or by modules of the benchmarks."""
    found, waiting = set(), [module]
    while waiting:
        name = waiting.pop()
        path = ROOT / Path(*name.split(".")).with_suffix(".py")
        if name not in found and path.exists():
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Import):
                    waiting += [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.module is not None:
                    waiting += [node.module, *(f"{node.module}.{alias.name}" for alias in node.names)]
        found.add(name)
    return {name.partition(".")[0] for name in found}
