"""What every test gets: the same chance each run, a reason to skip, a clean host afterwards.

Profiles of hypothesis, by `HYPOTHESIS_PROFILE`: `dev` draws the same examples in each run, `plain`
fewer of them, where kernels are interpreted; `fuzz` draws a hundred times as many, always new ones.
"""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from natlb import jit
from tests import again
from tests.host import (
    MARK,
    Leftovers,
    announced,
    others_are_testing,
    why_no_docker,
    why_no_namespaces,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

settings.register_profile("dev", max_examples=100, deadline=None, derandomize=True)
settings.register_profile("plain", settings.get_profile("dev"), max_examples=40)
settings.register_profile(
    "fuzz", settings.get_profile("dev"), max_examples=10_000, derandomize=False, print_blob=True
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "dev" if jit.COMPILED else "plain"))


@pytest.fixture(autouse=True)
def same_chance(request: pytest.FixtureRequest) -> None:
    """Seed Python's own generator by the test's name: one test's draws never shift another's."""
    random.seed(request.node.nodeid)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what this host or this user cannot run, and say why."""
    for mark, why_not in (("netns", why_no_namespaces), ("docker", why_no_docker)):
        if item.get_closest_marker(mark) is not None and (reason := why_not()):
            pytest.skip(reason)


def _left_since(before: Leftovers, session: str) -> list[str]:
    """Return what is there now and is this session's; of another's, namespaces are not told."""
    others = others_are_testing(session)  # asked first: it clears up before it ends
    left = Leftovers.now(session).since(before)
    return [each for each in left if each.startswith("process") or not others]


@pytest.fixture(scope="session", autouse=True)
def nothing_is_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the session if it leaves a namespace, a link or a process on this host."""
    session = str(os.getpid())
    os.environ[MARK] = session
    before = Leftovers.now(session)
    with announced(session):
        yield
        deadline = time.monotonic() + 20
        while (left := _left_since(before, session)) and time.monotonic() < deadline:
            time.sleep(0.1)  # what was told to end is on its way
    if left and request.config.pluginmanager.hasplugin("cacheprovider"):
        request.config.cache.set(again.LEFT, left)  # no one test's failure: not to be run again
    assert not left, f"the tests left behind: {'; '.join(left)}"
