from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from natlb.control.compile.tables import identity_of
from natlb.control.events import EventLog
from natlb.control.health.evidence import PassiveWatch, is_judged
from natlb.core.events import READ, WRITTEN
from natlb.core.layout import MOST_EVENTS, REFUSED, UNANSWERED
from natlb.core.policy import POLICY_NAMES
from natlb.engine import PacketMeta
from natlb.testing import packets
from tests.datapath import B1, B2, B3, VIP, VIP6, engine, one_service
from tests.unit.control.instances import World, eventually, in_world

if TYPE_CHECKING:
    from natlb.model import HealthName

WEB, DNS = f"{VIP}:80", f"{VIP}:53"
POOL = [f"{address}:8080" for address in (B1, B2)]
PRIVATE = PacketMeta(side="private")


class Scene:
    """An engine that forwards, and a watch that hears what it tells; verdicts come into force."""

    def __init__(self, services: dict[str, Any], **options: Any) -> None:
        """Begin at one second, so that no time is zero."""
        self.path = engine(services, **options)
        self.now = 1.0
        self.held: dict[tuple[str, str], tuple[str, int]] = {}
        self.said: list[tuple[str, bool, str]] = []
        self.log = EventLog()
        self.memory = SimpleNamespace(
            events=[self.path._core.events], counters=[self.path._counters], now_ms=self._now_ms
        )
        intents: Any = SimpleNamespace(memory=self.memory, events=self.log, desired=None)
        self.intents = intents
        self.follow()
        self.watch = PassiveWatch(intents, self)

    def follow(self) -> None:
        """Have the watch see what is in force now."""
        path = self.path
        self.intents.desired = SimpleNamespace(
            config=path._config, indices=path._indices, run_time=path._run_time
        )

    def _now_ms(self) -> int:
        return int(self.now * 1000)

    # What the watch asks of an arbiter

    def health(self, key: tuple[str, str]) -> HealthName:
        """Return the health in force."""
        return "down" if key in self.held else "unknown"

    def passive(self, key: tuple[str, str]) -> str | None:
        """Return why traffic speaks against a backend."""
        why, until = self.held.get(key, (None, 0))
        return why if until > self._now_ms() else None

    def passively(
        self, key: tuple[str, str], *, down: bool, why: str = "", until_ms: int = 0
    ) -> None:
        """Bring a verdict into force."""
        self.said.append((key[1], down, why))
        if down:
            self.held[key] = (why, until_ms)
        else:
            self.held.pop(key, None)
        self.path.set_backend("/".join(key), health="down" if down else "unknown")
        self.follow()

    # What goes on

    def look(self, seconds: float = 0.1) -> None:
        """Let time pass, and look: what was said for a time may be over."""
        self.now = round(self.now + seconds, 3)
        self.path.tick(self.now)
        for key in [key for key in self.held if self.passive(key) is None]:
            del self.held[key]
            self.path.set_backend("/".join(key), health="unknown")
            self.follow()
        self.watch.look()

    def call(self, client: str, at: str = WEB) -> str:
        """Send a client's first packet, and return the backend that got it."""
        make = packets.udp if at == DNS else packets.tcp
        (sent,) = self.path.process(make(client, at), self.now).packets
        return packets.read(sent).destination

    def answer(self, backend: str, client: str, flags: str = "SA") -> None:
        """Answer it."""
        made = packets.udp(backend, client)
        if flags != "U":
            made = packets.tcp(backend, client, flags, acknowledgement=1001)
        self.path.process(made, self.now)

    def down(self) -> list[str]:
        """Return who is down."""
        return [name for _, name in self.held]


def client(number: int, port: int = 40000) -> str:
    """Return one of many clients."""
    return f"198.51.{number // 250}.{number % 250 + 1}:{port}"


def test_unanswered_openings_make_a_backend_down_before_a_check_could() -> None:
    """Two seconds after it died, told once, with why; the other serves on."""
    scene = Scene(one_service(backends=POOL))
    for number in range(8):
        if (backend := scene.call(client(number))) == POOL[1]:
            scene.answer(backend, client(number))
    scene.look(0.5)
    before = scene.down()
    scene.look(1.5)

    assert before == []
    assert scene.down() == [POOL[0]]
    assert scene.said == [(POOL[0], True, "openings: 4 unanswered; none answered")]
    (event,) = scene.log.since(0).events
    assert event.kind == "backend_suspected"


@pytest.mark.parametrize("name", POLICY_NAMES)
@pytest.mark.parametrize("affinity", [{}, {"affinity": {"prefix": 24}}])
def test_an_unanswered_call_goes_elsewhere_at_its_next_syn(name: str, affinity: Any) -> None:
    """By every policy, and where the client's affinity was to the dead one."""
    scene = Scene(one_service(backends=POOL, policy=name, **affinity))
    first = {client(number): scene.call(client(number)) for number in range(40)}
    for each, backend in first.items():
        if backend == POOL[1]:
            scene.answer(backend, each)
    stuck = [each for each, backend in first.items() if backend == POOL[0]]
    scene.look(1.0)
    for each in stuck:
        scene.call(each)
    scene.look(0.1)
    scene.now += 2

    if not stuck:  # who was the first to fail over has no failure to tell
        return
    assert scene.down() == [POOL[0]]
    assert {scene.call(each) for each in stuck} == {POOL[1]}


def test_established_connections_stay_with_a_backend_that_is_down_to_new_ones() -> None:
    """They may be served: a server that drains has closed its door."""
    scene = Scene(one_service(backends=POOL, policy="first"))
    old = client(1, 1000)
    backend = scene.call(old)
    scene.answer(backend, old)
    scene.path.process(packets.tcp(old, WEB, "A"), scene.now)
    scene.look()
    for number in range(3):
        scene.call(client(number))
        scene.answer(POOL[0], client(number), "RA")
    scene.look()
    result = scene.path.process(packets.tcp(old, WEB, "A", payload=b"x"), scene.now)

    assert scene.down() == [POOL[0]]
    assert packets.read(result.packets[0]).destination == POOL[0]
    assert scene.call(client(9)) == POOL[1]


def test_a_backend_is_tried_again_and_acquitted_by_an_answer() -> None:
    """After five seconds; should it fail again, after ten more."""
    scene = Scene(one_service(backends=POOL, policy="first"))
    lasted = []
    for attempt in range(2):
        for number in range(3):
            assert scene.call(client(number, 1000 + attempt)) == POOL[0]
            scene.answer(POOL[0], client(number, 1000 + attempt), "RA")
        scene.look()
        lasted.append((scene.held["web", POOL[0]][1] / 1000) - scene.now)
        scene.look(lasted[-1] + 0.1)
    scene.call(client(7))
    scene.answer(POOL[0], client(7))
    scene.look()

    assert [round(each) for each in lasted] == [5, 10]
    assert scene.down() == []
    assert scene.watch._judge.suspects == []


def test_a_flood_of_forged_syns_takes_no_backend_down() -> None:
    """Backends answer, nobody goes on; nor does it where most of their answers are lost."""
    scene = Scene(one_service(backends=POOL))
    for number in range(400):
        backend = scene.call(client(number))
        if number % 10 < 2 or number > 390:
            scene.answer(backend, client(number))
        scene.look(0.01)
    for _ in range(30):
        scene.look()

    assert scene.said == []


def test_segments_that_servers_drop_take_nobody_away_who_serves_anybody() -> None:
    """An attacker's calls all fail; one honest client in a while is enough."""
    scene = Scene(one_service(backends=POOL))
    for number in range(300):
        scene.call(client(number))
        if number % 20 < 2:
            for port in (1, 2, 3):
                scene.answer(scene.call(client(number, port)), client(number, port))
        scene.look(0.04)

    assert scene.said == []


def test_half_of_a_pool_stays_whatever_anybody_sends() -> None:
    """Also of one that nobody else uses: then an attacker is the only one who tells of it."""
    pool = [f"{address}:8080" for address in (B1, B2, B3)]
    for backends, most in ((pool[:1], 0), (pool[:2], 1), (pool, 1)):
        scene = Scene(one_service(backends=backends))
        for number in range(60):
            scene.call(client(number))
            scene.look(0.1)
        assert len(scene.down()) <= most
        assert len({name for name, _, _ in scene.said}) == most


def test_a_client_that_never_acknowledges_is_no_evidence() -> None:
    """The backend has answered."""
    scene = Scene(one_service(backends=POOL))
    for number in range(20):
        scene.answer(scene.call(client(0, 2000 + number)), client(0, 2000 + number))
    for _ in range(50):
        scene.look()

    assert scene.said == []


def dns(**more: Any) -> dict[str, Any]:
    """Return a service of datagrams."""
    return {"dns": {"listen": f"udp://{DNS}", "backends": [f"{B1}:53", f"{B2}:53"], **more}}


def test_datagrams_without_replies_say_nothing_where_there_never_was_one() -> None:
    """Syslog: one way is all there is."""
    scene = Scene(dns())
    for number in range(100):
        scene.call(client(number), DNS)
        scene.look()

    assert scene.said == []


def test_datagrams_without_replies_make_down_who_should_reply() -> None:
    """Once anybody of the service has; its flows go elsewhere with their next datagram."""
    scene = Scene(dns())
    for number in range(2):
        scene.answer(scene.call(client(number), DNS), client(number), "U")
    scene.look(0.5)
    stuck = []
    for number in range(10, 20):
        backend = scene.call(client(number), DNS)
        if backend == f"{B2}:53":
            scene.answer(backend, client(number), "U")
        else:
            stuck.append(client(number))
    scene.look(2.1)

    assert scene.down() == [f"{B1}:53"]
    assert {scene.call(each, DNS) for each in stuck} == {f"{B2}:53"}


@pytest.mark.parametrize(
    ("kind", "code", "words"), [(3, 1, "; ICMP says unreachable, code 1"), (11, 0, "")]
)
def test_icmp_errors_alone_do_nothing_and_are_told_with_the_rest(
    kind: int, code: int, words: str
) -> None:
    """Whoever forges them takes nobody down; of other types than "unreachable" not a word."""
    scene = Scene(one_service(backends=POOL, policy="first"))
    sent = [scene.path.process(packets.tcp(client(n), WEB), scene.now).packets[0] for n in range(3)]

    def complain() -> None:
        for number, quoted in enumerate(sent):
            to = client(number).split(":")[0]
            error = packets.icmp("10.9.0.1", to, kind, code, payload=quoted)
            scene.path.process(error, scene.now, PRIVATE)

    complain()
    scene.look(0.1)
    alone = list(scene.said)
    complain()
    scene.look(1.0)

    assert alone == []
    assert scene.said == [(POOL[0], True, f"openings: 3 unanswered; none answered{words}")]


def test_a_service_may_refuse_to_be_judged_by_traffic() -> None:
    """`passive: false`, or many ports of which each may be closed."""
    scene = Scene(one_service(backends=POOL, passive=False))
    for number in range(50):
        scene.call(client(number))
        scene.look()
    services = engine(
        {
            "few": {"listen": [f"tcp://{VIP}:{port}" for port in range(1, 17)], "backends": [B1]},
            "many": {"listen": f"tcp://{VIP}:100-200", "backends": [B1]},
            "one": {"listen": f"tcp://{VIP}:300-400", "backends": [f"{B1}:80"]},
        }
    )._config.services

    assert scene.said == []
    assert [is_judged(each) for each in services.values()] == [True, False, True]


def test_clients_of_ip6_are_told_apart_by_their_networks() -> None:
    """Anybody has as many addresses as he likes of one /64."""
    scene = Scene(
        {
            "web": {
                "listen": f"tcp://[{VIP6}]:80",
                "backends": ["[fd00:9::1]:80", "[fd00:9::2]:80"],
                "policy": "first",
            }
        }
    )
    for number in range(1, 4):
        scene.call(f"[2001:db8:c::{number}]:4000", f"[{VIP6}]:80")
    scene.look(1.5)
    one = list(scene.said)
    scene.call("[2001:db8:c:1::1]:4000", f"[{VIP6}]:80")
    scene.look(1.5)

    assert one == []
    assert [name for name, _, _ in scene.said] == ["[fd00:9::1]:80"]


def test_events_of_who_had_the_number_before_are_not_heard() -> None:
    """Nor of a backend that has left meanwhile, who is forgotten."""
    scene = Scene(one_service(backends=POOL, policy="first"))
    for number in range(2):
        scene.call(client(number))
        scene.answer(POOL[0], client(number), "RA")
    scene.look()
    known = scene.watch._judge.suspects
    scene.path._core.events.ring["identity"] += 1
    scene.path._core.events.counts[READ] = 0
    scene.look()
    failures = scene.watch._judge._suspects["web", POOL[0]].failures
    scene.path.load({"datapath": {"max_flows": 1000}, "services": one_service(backends=POOL[1:])})
    scene.follow()
    scene.look()

    assert known == [("web", POOL[0])]
    assert len(failures) == 2
    assert scene.watch._judge.suspects == []


def lap(scene: Scene, failed: int) -> None:
    """Have the ring be lapped by a flood about the second backend, while the first one failed."""
    ring, counts = scene.path._core.events
    numbers = [scene.path._indices.backends["web", name] for name in POOL]
    counts[WRITTEN] += 3 * MOST_EVENTS
    ring["sequence"] = range(int(counts[WRITTEN]) - MOST_EVENTS + 1, int(counts[WRITTEN]) + 1)
    ring["backend"], ring["kind"], ring["identity"] = numbers[1], UNANSWERED, 1
    scene.path._counters.notes["failed"][numbers] += [failed, MOST_EVENTS]


@pytest.mark.parametrize(("failed", "is_down"), [(3, False), (4, True), (1000, True)])
def test_what_the_ring_lost_is_known_by_the_counts(failed: int, is_down: bool) -> None:
    """Of nobody knows which client: so it takes as many as of one."""
    scene = Scene(one_service(backends=POOL))
    scene.now = 60.0
    scene.look()
    lap(scene, failed)
    scene.look()

    assert (scene.down() == [POOL[0]]) is is_down


def test_what_was_lost_says_nothing_where_it_may_be_datagrams_that_nobody_answers() -> None:
    """As ever of a protocol that never replies."""
    services = {"web": {"listen": [f"tcp://{WEB}", f"udp://{WEB}"], "backends": POOL}}
    scene = Scene(services)
    scene.now = 60.0
    scene.look()
    lap(scene, 100)
    scene.look()

    assert scene.said == []


def test_it_looks_again_and_again_until_it_is_cancelled() -> None:
    """Ten times a second."""
    scene = Scene(one_service(backends=POOL))
    looked = asyncio.Event()

    async def live() -> None:
        scene.watch.look = looked.set  # type: ignore[method-assign]
        task = asyncio.create_task(scene.watch.run())
        for _ in range(2):
            await asyncio.wait_for(looked.wait(), 20)
            looked.clear()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    asyncio.run(live())


@in_world
async def test_a_control_hears_its_workers(world: World) -> None:
    """From the memory that both map to tables that workers read, and to an event."""
    instance = await world.begin()
    ring, counts = instance._memory.events[0]
    for at in range(3):
        ring[at]["kind"], ring[at]["identity"] = REFUSED, identity_of("web", "b1")
        ring[at]["time_ms"] = instance._memory.now_ms()
        ring[at]["backend"] = instance._desired.indices.backends["web", "b1"]
        ring[at]["original"]["source2"], ring[at]["original"]["source3"] = 0xFFFF, at
        ring[at]["sequence"] = at + 1
    counts[WRITTEN] = 3
    await eventually(lambda: instance._desired.run_time)

    assert instance._desired.run_time["web", "b1"].health == "down"
    (told,) = [each for each in world.control._events.since(0).events if "suspect" in each.kind]
    assert told.fields["reason"] == "openings: 3 reset; none answered"
