"""What is held keeps its number: an adopting supervisor of another version reads it."""

from natlb.control.roles import MOST_WORKERS, NUMBER_SHIFT, Role


def test_a_worker_and_a_number_fit_into_an_index() -> None:
    """16 bits of a message."""
    assert MOST_WORKERS <= 1 << NUMBER_SHIFT < 1 << 16
    assert len({role.value for role in Role}) == len(Role)
