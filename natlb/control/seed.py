"""The seed that spreads clients by hash: the configuration's, or the state directory's own.

Laws
    A configuration without a seed means the one in `seed` of its state directory, also after a
    reload from one that had its own. A seed is not read twice: it may live in memory alone.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

if TYPE_CHECKING:
    from natlb.control.config import Config
    from natlb.control.desired import Desired

logger = structlog.get_logger()


def first_seed(config: Config) -> int:
    """Return the seed that an instance begins with."""
    return read_seed(Path(config.state)) if config.seed is None else config.seed


def next_seed(before: Desired, config: Config) -> int:
    """Return the seed after a reload to this configuration."""
    if config.seed is None and before.config.seed is None:
        return before.seed
    return first_seed(config)


def read_seed(state: Path) -> int:
    """Return the seed that is kept in the state directory, made at the first start.

    Its owner alone can read it: who knows it can choose a backend by the port of a client. Where
    it cannot be kept, it lives as long as the instance.
    """
    place = state / "seed"
    try:
        return int(place.read_text(), 16)
    except (OSError, ValueError):
        seed = secrets.randbits(64)
    try:
        state.mkdir(mode=0o755, parents=True, exist_ok=True)
        new = place.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(f"{seed:016x}\n")
        new.replace(place)
    except OSError as error:
        logger.warning("seed_not_kept", path=str(place), reason=error.strerror)
    return seed
