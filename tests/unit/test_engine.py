from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import natlb
from natlb.engine import DropReason, Engine, PacketMeta, Verdict
from natlb.errors import ConfigError, UsageError
from natlb.testing import packets
from tests.datapath import (
    CLIENT,
    SERVICES,
    VIP,
    backend_of,
    config,
    engine,
)

if TYPE_CHECKING:
    from pathlib import Path

FROM, WEB = f"{CLIENT}:40000", f"{VIP}:80"


def test_the_engine_is_what_the_package_offers() -> None:
    """As in the contract: `natlb.Engine(config, seed=1)`, results, verdicts and reasons."""
    path = natlb.Engine(config(), seed=1)
    result = path.process(packets.tcp(FROM, WEB), 0)

    assert result.verdict is natlb.Verdict.FORWARD
    assert result.reason is None
    assert isinstance(result, natlb.Result)
    assert natlb.DropReason is DropReason
    assert natlb.PacketMeta() == PacketMeta(side=None)


def test_a_configuration_may_be_a_path(tmp_path: Path) -> None:
    """A string or a Path; by its suffix."""
    file = tmp_path / "natlb.json"
    file.write_text(json.dumps(config()), encoding="utf-8")
    for given in (str(file), file):
        assert [service.name for service in Engine(given).services()] == list(SERVICES)
    with pytest.raises(ConfigError, match="absent"):
        Engine(tmp_path / "absent.yaml")


def test_time_never_goes_back() -> None:
    """In none of the calls that take it."""
    path = engine()
    path.tick(10.0)
    for call in (
        lambda: path.process(packets.tcp(FROM, WEB), 9.9),
        lambda: path.tick(9.0),
        lambda: path.command("flush", 0.0),
    ):
        with pytest.raises(ValueError, match="time never goes back"):
            call()
    assert path.process(packets.tcp(FROM, WEB), 10.0).verdict is Verdict.FORWARD


def test_each_packet_needs_its_meta_or_none_has_one() -> None:
    """Rather than telling some packets' sides from a shorter list."""
    with pytest.raises(ValueError, match="shorter"):
        engine().process_batch([b"", b""], 0.0, [PacketMeta()])
    assert engine().process_batch([], 0.0) == []


def test_what_is_longer_than_any_packet_is_cut() -> None:
    """The rest is padding to an honest packet, and none can be longer."""
    path = engine()
    syn = packets.tcp(FROM, WEB)

    assert path.process(syn + bytes(200_000), 0.0).verdict is Verdict.FORWARD
    assert path.process(b"\x45" + bytes(200_000), 0.0).reason is DropReason.MALFORMED


def test_engines_share_nothing() -> None:
    """Many of them live in one process: in tests, in a simulation."""
    one, other = engine(), engine()
    backend_of(one, FROM)

    assert not other.flows()
    assert other.stats().packets.received == 0


@pytest.mark.parametrize(
    "options", [{"ttl": "x"}, {"mtu": 0}, {"mtu": -4}, {"mtu": (1500,)}, {"mtu": 70000}]
)
def test_an_option_that_is_none_is_a_usage_error(options: dict[str, Any]) -> None:
    """Said at once and by name, not by the first packet."""
    with pytest.raises(UsageError, match=next(iter(options))):
        Engine(config(), **options)
