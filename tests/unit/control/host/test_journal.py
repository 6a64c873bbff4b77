from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natlb.control.host.blackhole import AddBlackhole
from natlb.control.host.journal import KINDS, Entry, Journal
from natlb.control.host.make_tun import AddIpv6, MakeTun
from natlb.control.host.operation import (
    AddProxy,
    AddRoute,
    AddRule,
    ForwardAll,
    MoveLocal,
    SetSysctl,
)
from natlb.errors import HostError

OPERATIONS = (
    AddRoute(netns="", destination="203.0.113.10/32", dev="natlb-pub", table=254),
    AddRule(netns="left", version=6, priority=100, table=6285, iif="eth0", source="fd77::/64"),
    AddProxy(netns="", address="203.0.113.10", dev="eth0"),
    SetSysctl(netns="", key="net/ipv4/conf/eth0.5/forwarding", value="1"),
    AddRule(netns="", version=4, priority=93, table=6286, ip_protocol=6, ports="80-89"),
    ForwardAll(netns=""),
    MoveLocal(netns="", version=4, priority=94),
    MakeTun(netns="", name="natlb-pub", mtu=1500, address="192.0.0.8/32", scope="host"),
    AddIpv6(netns="", name="natlb-pub", address=None),
    AddBlackhole(netns="", destination="203.0.113.10/32"),
)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    """Return a journal that nothing was written to."""
    return Journal(tmp_path / "journal")


def test_every_kind_of_operation_comes_back_from_the_file(journal: Journal) -> None:
    """What cannot be read back cannot be undone."""
    for operation in OPERATIONS:
        journal.about_to_do(operation, {"was": "0"})

    assert {type(operation) for operation in OPERATIONS} == set(KINDS.values())
    assert journal.entries() == [Entry(each, {"was": "0"}) for each in OPERATIONS]


def test_what_was_undone_is_no_longer_to_be_undone(journal: Journal) -> None:
    """The last of two equal ones goes first, as it was done last."""
    first, second = OPERATIONS[:2]
    journal.about_to_do(first, {"was": "a"})
    journal.about_to_do(second, {})
    journal.about_to_do(first, {"was": "b"})
    journal.undone(first)
    journal.undone(OPERATIONS[3])  # that was never done

    assert journal.entries() == [Entry(first, {"was": "a"}), Entry(second, {})]


def test_without_a_file_there_is_nothing_to_undo(journal: Journal) -> None:
    """Nor is removing it twice an error."""
    journal.clear()

    assert journal.entries() == []
    assert not journal.path.exists()


def test_only_the_owner_may_write_what_root_will_undo(journal: Journal) -> None:
    """Somebody else's line would be run with natlb's rights."""
    journal.about_to_do(OPERATIONS[0], {})

    assert stat.S_IMODE(journal.path.stat().st_mode) == 0o600


@given(st.integers(0, 400))
def test_a_torn_last_line_is_dropped_and_the_next_begins_anew(cut: int) -> None:
    """Killed between two octets: what was not written down was not done."""
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder) / "journal")
        journal.about_to_do(OPERATIONS[0], {})
        journal.about_to_do(OPERATIONS[1], {})
        whole = journal.path.read_bytes()
        journal.path.write_bytes(whole[: max(0, len(whole) - cut)])
        left = journal.entries()
        journal.about_to_do(OPERATIONS[2], {})

        assert journal.entries() == [*left, Entry(OPERATIONS[2], {})]
        assert left == [Entry(each, {}) for each in OPERATIONS[: len(left)]]


@pytest.mark.parametrize(
    "line", ["not json", json.dumps({"do": {"kind": "magic"}, "before": {}}), '{"do": {}}', "[]"]
)
def test_a_journal_that_makes_no_sense_is_an_error_with_its_path(
    journal: Journal, line: str
) -> None:
    """Guessing what to undo would be worse."""
    journal.path.write_text(line + "\n")
    with pytest.raises(HostError, match=str(journal.path)):
        journal.entries()
