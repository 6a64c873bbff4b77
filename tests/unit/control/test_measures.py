"""What metrics tell of an instance, over real memory."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from natlb.control.compile import Snapshot
from natlb.control.measures import measure, ports_used
from natlb.control.tally import Tally, create_tally
from natlb.core.layout import ROWS
from natlb.model import ProcessIds, Statistics, Status
from natlb.testing import packets
from tests.datapath import VIP, engine, full_nat
from tests.unit.control.instances import CONFIG, World, in_world

if TYPE_CHECKING:
    from collections.abc import Iterator

SERVICES: dict[str, Any] = {
    "web": {
        "listen": f"tcp://{VIP}:80",
        "nat": "full",
        "backends": [{"name": "b1", "address": "10.77.0.11:8080"}],
    },
    "dns": {
        "listen": [f"udp://{VIP}:53", f"tcp://{VIP}:53"],
        "nat": "full",
        "backends": [{"name": "d1", "address": "10.77.0.13:53"}],
    },
}


@pytest.fixture
def tally() -> Iterator[Tally]:
    """Return one with nothing counted."""
    fd = create_tally()
    yield Tally(fd)
    os.close(fd)


def snapshot_of(path: Any) -> Snapshot:
    """Return what there is to read of an engine."""
    whole = path._snapshot()
    return Snapshot(**{name: getattr(whole, name) for name in Snapshot.__dataclass_fields__})


def test_ports_are_counted_by_backend_and_protocol() -> None:
    """Of live flows, those of protocols that nobody used too."""
    path = full_nat(SERVICES)
    for port in range(40000, 40005):
        path.process(packets.tcp(f"198.51.100.2:{port}", f"{VIP}:80"), 0.0)
    path.process(packets.udp("198.51.100.2:40000", f"{VIP}:53", payload=b"?"), 0.0)

    assert ports_used(snapshot_of(path)) == {
        ("web", "b1", "tcp"): 5,
        ("dns", "d1", "tcp"): 0,
        ("dns", "d1", "udp"): 1,
    }


def test_without_addresses_of_its_own_no_port_is_used() -> None:
    """And no row is read."""
    assert ports_used(snapshot_of(engine())) == {}


def test_measures_put_names_to_all_that_is_counted(tally) -> None:
    """Reasons that were never seen are there as well: a rate needs a beginning."""
    snapshot = snapshot_of(full_nat(SERVICES))
    statistics = snapshot.statistics(generation=3, uptime_seconds=1.0, workers=[])
    found = measure(snapshot, status=status(), statistics=statistics, tally=tally)

    assert [each.name for each in found.backends] == ["b1", "d1"]
    assert found.flows_max == int(snapshot.flows[0].meta[ROWS])
    assert found.drops["malformed"] == 0
    assert len(found.handshakes["web", "b1"].counts) == len(found.handshake_bounds) + 1
    assert len(found.drops) == 23
    assert isinstance(found.statistics, Statistics)


def status() -> Status:
    """Return any."""
    return Status(
        ready=True,
        version="0.1.0",
        engine="interpreted",
        driver="tun",
        generation=3,
        config="/etc/natlb/natlb.yaml",
        pid=ProcessIds(supervisor=1, control=2, workers=[3]),
        services=[],
        changes=[],
    )


@in_world
async def test_what_control_counts_survives_it(world: World) -> None:
    """Changes, reloads that went well and those that did not, by the successor too."""
    instance = await world.begin()
    await instance.set_backend("web", "b1", state="draining")
    await instance._intents.set_health({("web", "b2"): "down"})
    world.configure(CONFIG.replace("10.77.0.13", "10.77.0.14"))
    await instance.reload(None)
    world.path.write_text("services: nonsense")
    with pytest.raises(Exception, match="services"):
        await instance.reload(None)
    successor = await world.succeed()
    found = await successor.measures()

    assert found.tally.reloads == {"success": 1, "failure": 1}
    assert found.tally.backends["web", "b1"].transitions["draining"] == 1
    assert found.tally.backends["web", "b2"].transitions["down"] == 1
    assert found.status.generation == found.statistics.generation
