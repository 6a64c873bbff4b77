"""The report of conformance: which test of which row passed, written as a page of the docs.

`pytest -p tests.conformance.report --conformance-report FILE` writes it when all tests are done.
A row passes when it has a test and no test of it failed or was skipped.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.conformance.rows import ROWS, Row

if TYPE_CHECKING:
    from collections.abc import Iterable

VERSIONS = (4, 6)
HEAD = """# How natlb behaves, requirement by requirement

Written by `make conformance` from its own tests: every row is sent as real packets, through the
engine (the same compiled core as a worker's) or through network namespaces with a Linux kernel at
either end. Rows and tests are in `tests/conformance/`; `make conformance` runs them all again.

*Side*: **B** both destination NAT and full NAT, **D** destination NAT, **S** full NAT, where natlb
chooses the source. *Tests* counts what was run for the row; *how* names where: `engine` packets
made and judged with scapy, `kernel` real Linux stacks in namespaces, `property` random packets.
"""


@dataclass
class Seen:
    """What the tests of one row came to, by IP version."""

    outcomes: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    how: set[str] = field(default_factory=set)

    def verdict(self, version: int) -> str:
        """Return `pass`, `FAIL`, `skipped`, or `-` where nothing was tested."""
        outcomes = self.outcomes[version]
        if not outcomes:
            return "-"
        if "failed" in outcomes:
            return "FAIL"
        return "skipped" if "skipped" in outcomes else "pass"


def page(seen: dict[str, Seen], rows: Iterable[Row] = ROWS) -> str:
    """Return the whole page."""
    lines = [HEAD, "| row | requirement | side | what | IPv4 | IPv6 | verdict | tests | how |"]
    lines.append("|---|---|---|---|---|---|---|---|---|")
    lines += [_line(row, seen.get(row.id, Seen())) for row in rows]
    return "\n".join(lines) + "\n"


def _line(row: Row, seen: Seen) -> str:
    by_version = [seen.verdict(version) for version in VERSIONS]
    count = sum(map(len, seen.outcomes.values()))
    what = row.what + (f" ({row.note})" if row.note else "")
    if row.not_applicable:
        verdict, what = "not applicable", f"{what}: {row.not_applicable}"
    elif count == 0:
        verdict = "NOT TESTED"
    else:
        bad = [each for each in by_version if each not in ("pass", "-")]
        verdict = bad[0] if bad else "pass"
    how = ", ".join(sorted(seen.how)) or "-"
    cells = row.id, row.requirement, row.side, what, *by_version, verdict, str(count or "-"), how
    return "| " + " | ".join(cells) + " |"


def versions_of(item: Any) -> tuple[int, ...]:
    """Return a test's IP versions: its parameter `version`, or what its mark says, or both."""
    callspec = getattr(item, "callspec", None)
    if callspec is not None and callspec.params.get("version") in VERSIONS:
        return (callspec.params["version"],)
    said = item.get_closest_marker("conformance").kwargs.get("version")
    return VERSIONS if said is None else (said,)


def how_of(item: Any) -> str:
    """Return by what means a test judges."""
    if item.get_closest_marker("netns") is not None:
        return "kernel"
    return "property" if "property" in Path(item.path).parts else "engine"


class Report:
    """Collects outcomes while the tests run."""

    def __init__(self, target: Path) -> None:
        """Write to `target` at the end."""
        self._target = target
        self._seen: dict[str, Seen] = defaultdict(Seen)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: Any) -> Any:
        """Note what a test came to; its set-up and its end count as well when they fail."""
        report = yield
        mark = item.get_closest_marker("conformance")
        if mark is not None and (report.when == "call" or report.outcome != "passed"):
            for row in mark.args:
                self._seen[row].how.add(how_of(item))
                for version in versions_of(item):
                    self._seen[row].outcomes[version].append(report.outcome)
        return report

    def pytest_sessionfinish(self) -> None:
        """Write the page."""
        self._target.write_text(page(self._seen))


def pytest_addoption(parser: Any) -> None:
    """Know the option."""
    parser.addoption("--conformance-report", type=Path, help="write docs/conformance.md here")


def pytest_configure(config: Any) -> None:
    """Collect where a report is asked for."""
    if target := config.getoption("--conformance-report"):
        config.pluginmanager.register(Report(target))
