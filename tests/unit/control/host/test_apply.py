from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from natlb.control.host import journal as journal_module
from natlb.control.host.apply import apply, mend, undo
from natlb.control.host.journal import Journal
from natlb.control.host.operation import Operation
from natlb.control.host.operations import Step
from natlb.control.host.tun import Tun
from natlb.errors import HostError

if TYPE_CHECKING:
    from pathlib import Path

    from natlb.control.host.hands import Hands
    from natlb.control.host.seen import Seen


@dataclass(frozen=True, slots=True, kw_only=True)
class Note(Operation):
    """Writes a word on a wall, and wipes it off; refuses some."""

    kind: ClassVar[str] = "note"
    netns: str = ""
    word: str = ""
    fd: int = -1
    wall: ClassVar[list[str]] = []
    refuses: ClassVar[set[str]] = set()
    sticks: ClassVar[set[str]] = set()

    def before(self, hands: Hands) -> dict[str, Any]:  # noqa: ARG002
        """Remember how full the wall was."""
        return {"was": len(self.wall)}

    def do(self, hands: Hands) -> None:
        """Write."""
        if self.word in self.refuses:
            raise HostError(f"no {self.word}")
        if self.word == "queue":
            hands.queues["natlb-t0"] = Tun(name="natlb-t0", fd=self.fd, offloads=0)
        self.wall.append(self.word)

    def stands(self, seen: Seen) -> bool:  # noqa: ARG002
        """Return whether it is written."""
        return self.word in self.wall

    def undo(self, hands: Hands, before: dict[str, Any]) -> None:  # noqa: ARG002
        """Wipe."""
        if self.word in self.sticks:
            raise HostError(f"{self.word} sticks")
        if self.word in self.wall:
            self.wall.remove(self.word)


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Journal:
    """Return an empty journal that knows notes, and a clean wall."""
    monkeypatch.setitem(journal_module.KINDS, "note", Note)
    monkeypatch.setattr(Note, "wall", [])
    monkeypatch.setattr(Note, "refuses", set())
    monkeypatch.setattr(Note, "sticks", set())
    return Journal(tmp_path / "journal")


def do(*words: str) -> list[Step]:
    """Return the steps that write these words."""
    return [Step("do", Note(word=word)) for word in words]


def test_steps_are_made_in_order_and_written_down(journal: Journal) -> None:
    """A step that takes back finds what the journal says of it."""
    apply(do("a", "b", "c"), journal)
    apply([*do("d"), Step("undo", Note(word="b")), Step("undo", Note(word="never"))], journal)

    assert Note.wall == ["a", "c", "d"]
    assert [entry.operation for entry in journal.entries()] == [
        Note(word=word) for word in ("a", "c", "d")
    ]


def test_everything_is_taken_back_in_reverse(journal: Journal) -> None:
    """Then there is no journal any more, and a second time has nothing to do."""
    apply(do("a", "b", "c"), journal)
    taken = undo(journal)

    assert Note.wall == []
    assert [operation.word for operation in taken] == ["a", "b", "c"]  # type: ignore[attr-defined]
    assert not journal.path.exists()
    assert undo(journal) == []


def test_what_the_host_refuses_takes_back_what_was_done_with_it(journal: Journal) -> None:
    """All or nothing; what earlier steps did stays."""
    apply(do("a"), journal)
    Note.refuses.add("c")
    with pytest.raises(HostError, match="no c"):
        apply(do("b", "c"), journal)

    assert Note.wall == ["a"]
    assert [entry.operation for entry in journal.entries()] == [Note(word="a")]


def test_a_queue_of_steps_that_failed_is_closed(journal: Journal) -> None:
    """Its device must go, or the next attempt finds the name taken."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    Note.refuses.add("c")
    with pytest.raises(HostError):
        apply([Step("do", Note(word="queue", fd=writing)), *do("c")], journal)

    assert os.read(reading, 1) == b"", "the writing end is closed"
    os.close(reading)


def test_the_first_refusal_is_reported_though_taking_back_fails_too(journal: Journal) -> None:
    """The journal still knows what is left."""
    Note.refuses.add("c")
    Note.sticks.add("b")
    with pytest.raises(HostError, match="no c"):
        apply(do("a", "b", "c"), journal)

    assert Note.wall == ["b"]
    assert [entry.operation for entry in journal.entries()] == [Note(word="b")]


def test_one_that_cannot_be_taken_back_does_not_keep_the_others(journal: Journal) -> None:
    """It is said, the journal stays, and a later try has only it to do."""
    apply(do("a", "b", "c"), journal)
    Note.sticks.add("b")
    with pytest.raises(HostError, match="1 changes of the host could not be taken"):
        undo(journal)

    assert Note.wall == ["b"]
    Note.sticks.clear()
    assert undo(journal) == [Note(word="b")]
    assert Note.wall == []


def test_a_namespace_that_is_gone_took_its_changes_along(journal: Journal) -> None:
    """There is nothing to undo in it."""
    apply([Step("do", Note(netns="nlbt-no-such", word="a"))], journal)
    undo(journal)

    assert Note.wall == ["a"]
    assert not journal.path.exists()


def test_interrupted_between_writing_down_and_doing_nothing_is_lost(journal: Journal) -> None:
    """The line comes first: the worst is an undoing of what was not done."""
    journal.about_to_do(Note(word="a"), {"was": 0})
    undo(journal)

    assert Note.wall == []


def test_what_is_mended_is_undone_as_it_was_first(journal: Journal) -> None:
    """The journal keeps what was before natlb, not what somebody made of it meanwhile."""
    note = Note(word="a")
    apply([Step("do", note)], journal)
    Note.wall.clear()
    before = journal.entries()
    refused = mend([note], journal)

    assert (Note.wall, refused) == (["a"], {})
    assert journal.entries() == before


def test_one_that_cannot_be_mended_keeps_no_other_out(journal: Journal) -> None:
    """Each stands for itself; the refusal is for the caller to tell."""
    notes = [Note(word="a"), Note(word="b")]
    apply([Step("do", each) for each in notes], journal)
    Note.wall.clear()
    Note.refuses.add("a")
    refused = mend(notes, journal)

    assert Note.wall == ["b"]
    assert {each.word: str(why) for each, why in refused.items()} == {"a": "no a"}  # type: ignore[attr-defined]
    assert len(journal.entries()) == 2


def test_made_again_the_journal_does_not_grow(journal: Journal) -> None:
    """A device that is deleted every hour for a year is undone once."""
    note = Note(word="a")
    for _ in range(3):
        apply([Step("do", note)], journal)

    assert len(journal.entries()) == 1
