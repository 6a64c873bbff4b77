"""The seed that spreads clients by hash: the configuration's, or the state directory's own.

Laws
    A configuration without a seed means the one in `seed` of its state directory, also after a
    reload from one that had its own. A seed is not read twice: it may live in memory alone.
    Another seed moves clients to other backends: none takes a kept one's place without a word.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from natlb.control.config.scalars import parse_seed

if TYPE_CHECKING:
    from natlb.control.config import Config
    from natlb.control.desired import Desired

LONGEST = 64  # octets of the file that are looked at: 16 digits, a line's end, and spaces

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
    it cannot be kept or read, another lives as long as the instance, and the file stays as it is.
    """
    place = state / "seed"
    try:
        seed = parse_seed(_text_of(place))
    except (FileNotFoundError, NotADirectoryError):
        return _made_seed(place)
    except OSError as error:
        logger.warning("seed_not_read", path=str(place), reason=error.strerror, use="another")
        return secrets.randbits(64)
    except ValueError:
        _set_aside(place)
        return _made_seed(place)
    return seed


def _text_of(place: Path) -> str:
    """Return what the file says, and have others not read it. Raises OSError, ValueError."""
    with place.open("rb") as file:
        said = os.fstat(file.fileno())
        if said.st_mode & 0o077:
            try:
                os.fchmod(file.fileno(), 0o600)
            except OSError as error:
                logger.warning("seed_not_secret", path=str(place), reason=error.strerror)
        return file.read(LONGEST).decode("ascii")


def _made_seed(place: Path) -> int:
    """Return a new seed, and keep it."""
    seed = secrets.randbits(64)
    new = place.with_suffix(".new")
    try:
        place.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        new.unlink(missing_ok=True)  # whoever left it may have let others read it
        new.touch(mode=0o600, exist_ok=False)
        new.write_text(f"{seed:016x}\n")
        new.replace(place)
    except OSError as error:
        logger.warning("seed_not_kept", path=str(place), reason=error.strerror)
    return seed


def _set_aside(place: Path) -> None:
    """Give a file that holds no seed another name; its clients will move, so it is said."""
    aside = place.with_suffix(".bad")
    with contextlib.suppress(OSError):  # replaced then, or told of as not kept
        place.replace(aside)
    logger.warning("seed_replaced", path=str(place), reason="no 16 hexadecimal digits")
