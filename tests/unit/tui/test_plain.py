"""One table of two looks."""

from __future__ import annotations

from natlb.tui.plain import once
from tests.unit.tui.fake_source import FakeSource


def test_one_table_of_two_looks() -> None:
    """Each column as wide as its widest cell; what is waited for is told by the caller."""
    waited: list[float] = []
    lines = once(FakeSource(), 1.5, waited.append).splitlines()

    assert waited == [1.5]
    assert lines[0].startswith("ready, compiled, generation 7")
    assert lines[1].split()[:4] == ["Service", "/", "backend", "Address"]
    assert "Trend" not in lines[1]
    assert len(lines) == 8
    assert lines[3].startswith("  b1 ")
    assert len({line.index("10.77.0.1") for line in lines[3:6]}) == 1
