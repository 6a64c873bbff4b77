"""The data plane as a library: the same core as natlb's workers run, without any I/O.

    engine = natlb.Engine({"services": {"web": {"listen": "tcp://203.0.113.10:80", ...}}})
    result = engine.process(packet, now=0.0)

The same packets, configuration, seed and times give the same octets out.
"""

from __future__ import annotations

import hashlib
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from natlb.control.compile import (
    Choices,
    Indices,
    Retired,
    RunTime,
    Sides,
    Snapshot,
    WayOut,
    compile_tables,
    note_arrivals,
    start_counts,
)
from natlb.control.compile.programs import Programs, pick_of, programs_for
from natlb.control.compile.requests import flush_commands, parse_filter
from natlb.control.config import Config, config_from_mapping, difference, load_config
from natlb.core.assembly import assemble
from natlb.core.batch import COUNT_IN, MICROS, NOW, OUTPUT, Batch, make_batch, start_batch
from natlb.core.commands import GIVEN, Commands, is_command_waiting, step_command
from natlb.core.entry import prepare_engine
from natlb.core.housekeeping import keep_house
from natlb.core.intake import BY_ADDRESS, take_in
from natlb.core.layout import CURRENT, HEADROOM, RING, SLOT_BYTES
from natlb.core.memory import SECRET_BYTES, Kind, flow_items, make, start_flows
from natlb.core.pipeline import give_up_packet, process_batch
from natlb.core.state import TTL_DIRECT, TTL_OWN, TTL_ROUTE
from natlb.core.verdict import DropReason, Verdict
from natlb.errors import ConfigError, UnknownNameError, UsageError
from natlb.model import Backend, Flow, FlowFilter, Service, Statistics

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from os import PathLike

    from natlb.control.compile.choices import Memories
    from natlb.core.tables import Tables
    from natlb.model import BackendStateName, HealthName

SideName = Literal["public", "private"]
SIDES: tuple[SideName, SideName] = ("public", "private")
HOPS = {"route": TTL_ROUTE, "direct": TTL_DIRECT, "own": TTL_OWN}
BATCH = 64
MOST_OCTETS = SLOT_BYTES - HEADROOM


@dataclass(frozen=True, slots=True, kw_only=True)
class PacketMeta:
    """What a packet's octets do not say. `side` None: told from the packet's addresses.

    `unfinished_checksum`: the transport checksum is the pseudo-header's sum alone, as a sender
    with checksum offload leaves it. `segment_size`: a super-packet, to be cut into segments of so
    many octets of payload; 0 for a single packet.
    """

    side: SideName | None = None
    unfinished_checksum: bool = False
    segment_size: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A packet's fate. `sides` says by which side each of `packets` leaves."""

    verdict: Verdict
    reason: DropReason | None
    packets: list[bytes]
    sides: list[SideName]


class Engine:
    """A whole natlb in one process, driven by packets and times."""

    def __init__(
        self,
        config: Mapping[str, Any] | str | PathLike[str],
        seed: int = 1,
        *,
        ttl: Literal["route", "direct", "own"] = "route",
        mtu: int | tuple[int, int] = 65535,
    ) -> None:
        """Load a configuration, a mapping or a path.

        `ttl` and `mtu` say how packets will leave: who takes the hops off their TTL (by route the
        kernel, twice; `own`: natlb, once), and the largest packet, or one for each of public and
        private. `seed` decides what is drawn, and spreads clients by hash where the configuration
        has no seed. Raises ConfigError, and UsageError for a `ttl` or `mtu` that is none.
        """
        self._config = _read(config)
        self._programs = programs_for(self._config, config, {})
        self._seed = seed
        self._retired = Retired()
        self._hops = _hops(ttl)
        public, private = _mtus(mtu)
        self._sides = Sides(public=WayOut(mtu=public), private=WayOut(mtu=private))
        self._now_ms = 0
        self._generation = 0
        self._indices = Indices()
        self._run_time: dict[tuple[str, str], RunTime] = {}
        self._memories: Memories = {}
        max_flows = self._config.datapath.max_flows
        flows = make(Kind.FLOWS, **flow_items(max_flows))
        secret = hashlib.blake2b(f"{seed}".encode(), digest_size=SECRET_BYTES).digest()
        start_flows(flows, max_flows, secret, 0)
        self._flows, self._counters = flows, make(Kind.COUNTERS)
        self._commands: Commands = make(Kind.COMMANDS)
        self._batch: Batch = make_batch(BATCH)
        tables = self._next_tables(self._config, {}, self._programs)
        self._core = assemble(tables, flows, self._counters, self._batch)
        prepare_engine(self._core, self._commands)
        self._pick = pick_of(self._programs)

    def process(self, packet: bytes, now: float, meta: PacketMeta | None = None) -> Result:
        """Return what becomes of a packet (octets from the IP header on) at `now`, in seconds.

        Raises ValueError where time goes back.
        """
        return self.process_batch([packet], now, None if meta is None else [meta])[0]

    def process_batch(
        self, packets: Sequence[bytes], now: float, metas: Sequence[PacketMeta] | None = None
    ) -> list[Result]:
        """Return what becomes of each of these packets, all of which arrive at `now`."""
        self._advance(now)
        metas = metas if metas is not None else [PacketMeta()] * len(packets)
        pairs = list(zip(packets, metas, strict=True))
        results: list[Result] = []
        for start in range(0, len(pairs), BATCH):
            results += self._turn_batch(pairs[start : start + BATCH])
        return results

    def tick(self, now: float) -> list[bytes]:
        """Let the timers run, and return the packets that this sends."""
        self._advance(now)
        start_batch(self._batch, 0)
        keep_house(self._core, self._now_ms)
        return self._put_out()

    def command(self, command: str, now: float) -> list[bytes]:
        """Do a command as the command line has it, and return the packets that this sends.

        `flush [FILTER…] [--reset]`, `drain|maint|ready SVC/BE`, `weight SVC/BE N`. Raises
        UsageError and UnknownNameError.
        """
        self._advance(now)
        word, *arguments = _split(command) or [""]
        if word == "flush":
            filters = [argument for argument in arguments if argument != "--reset"]
            return self._flush(parse_filter(filters), reset="--reset" in arguments)
        if word in STATE_COMMANDS and len(arguments) == 1:
            return self.set_backend(arguments[0], state=STATE_COMMANDS[word])
        if word == "weight" and len(arguments) == 2 and arguments[1].isdecimal():
            return self.set_backend(arguments[0], weight=int(arguments[1]))
        message = f"no command {command!r}"
        raise UsageError(message, fix="flush, drain, maint, ready or weight")

    def set_backend(
        self,
        name: str,
        *,
        state: BackendStateName | None = None,
        weight: int | None = None,
        health: HealthName | None = None,
    ) -> list[bytes]:
        """Change a backend, `service/name`, and return the packets that this sends.

        `maint` resets the backend's flows as well. Raises UnknownNameError, and UsageError for a
        state, weight or health that there is none of.
        """
        service, _, backend = name.partition("/")
        key = service, backend
        names = _backend_names(self._config)
        if key not in names:
            known = ", ".join("/".join(each) for each in names)
            raise UnknownNameError(f"no backend {name!r}; there are {known}")
        old = self._run_time.get(key, RunTime())
        new = RunTime(
            state=old.state if state is None else state,
            weight=old.weight if weight is None else weight,
            health=old.health if health is None else health,
        )
        self._compile(self._config, self._run_time | {key: new})
        if state != "maint":
            return []
        return self._flush(FlowFilter(service=service, backend=backend), reset=True)

    def load(self, config: Mapping[str, Any] | str | PathLike[str]) -> None:
        """Put another configuration in force: the next generation. Flows stay where they are.

        Raises ConfigError, and changes nothing then: also for another `datapath`, which the table
        was made by.
        """
        new = _read(config)
        if difference(self._config, new).datapath_changed:
            raise ConfigError("a change of 'datapath' needs another engine; nothing was changed")
        programs = programs_for(new, config, self._programs)
        pick = pick_of(programs)
        self._core = self._core._replace(tables=self._next_tables(new, self._run_time, programs))
        self._pick = pick

    def flows(self) -> list[Flow]:
        """Return the flows there are."""
        return self._snapshot().list_flows(FlowFilter(), None)

    def backends(self) -> list[Backend]:
        """Return the backends, in the order of the configuration."""
        return self._snapshot().list_backends()

    def services(self) -> list[Service]:
        """Return the services, in the order of the configuration."""
        return self._snapshot().list_services({})

    def stats(self) -> Statistics:
        """Return all counters."""
        return self._snapshot().statistics(
            generation=self._generation, uptime_seconds=self._now_ms / 1000, workers=[]
        )

    def _snapshot(self) -> Snapshot:
        return Snapshot(
            config=self._config,
            indices=self._indices,
            run_time=self._run_time,
            tables=self._core.tables,
            flows=[self._flows],
            counters=[self._counters],
            now_ms=self._now_ms,
        )

    def _compile(self, config: Config, run_time: dict[tuple[str, str], RunTime]) -> None:
        """Compile the next generation of tables and use it from now on."""
        tables = self._next_tables(config, run_time, self._programs)
        self._core = self._core._replace(tables=tables)

    def _next_tables(
        self, config: Config, run_time: dict[tuple[str, str], RunTime], programs: Programs
    ) -> Tables:
        """Return the next generation of tables, and keep what it was made of."""
        held_services = {int(at) for at in np.flatnonzero(self._counters.services["current"])}
        held_backends = {int(at) for at in np.flatnonzero(self._counters.backends["current"])}
        indices = self._indices.assign(config, held_services, held_backends)
        is_used = self._flows.meta[CURRENT] > 0
        retired = self._retired.after(self._config, config) if is_used else Retired()
        run_time = note_arrivals(self._config, self._run_time, config, run_time, self._now_ms)
        seed = self._seed if config.seed is None else config.seed
        common: Any = {"indices": indices, "run_time": run_time, "seed": seed}
        choices = Choices(config, memories=self._memories, programs=programs, **common)
        tables = compile_tables(
            config,
            sides=self._sides,
            generation=self._generation + 1,
            retired=retired,
            choices=choices,
            **common,
        )
        start_counts(self._counters, self._indices, self._config, indices, config)
        self._config, self._run_time, self._retired = config, run_time, retired
        self._programs = programs
        self._indices, self._generation = indices, self._generation + 1
        self._memories = choices.memories
        return tables

    def _advance(self, now: float) -> None:
        milliseconds = int(now * 1000)
        if milliseconds < self._now_ms:
            message = f"now={now} is before {self._now_ms / 1000}: time never goes back"
            raise ValueError(message)
        self._now_ms = self._batch.numbers[NOW] = milliseconds
        self._batch.numbers[MICROS] = int(now * 1_000_000)

    def _turn_batch(self, pairs: Sequence[tuple[bytes, PacketMeta]]) -> list[Result]:
        for at, (packet, meta) in enumerate(pairs):
            self._place(at, packet, meta)
        start_batch(self._batch, len(pairs))
        while True:
            try:
                process_batch(self._core, self._now_ms, self._hops, self._pick)
            except Exception:  # noqa: BLE001 - whatever it is, it is a bug of the core's
                give_up_packet(self._core)
            else:
                break
        return self._results()

    def _place(self, at: int, packet: bytes, meta: PacketMeta) -> None:
        """Put a packet into its slot, and its frame beside it."""
        octets = np.frombuffer(packet[:MOST_OCTETS], np.uint8)
        self._batch.slots[at, HEADROOM : HEADROOM + octets.size] = octets
        side = BY_ADDRESS if meta.side is None else SIDES.index(meta.side)
        unfinished = int(meta.unfinished_checksum)
        take_in(self._core, at, octets.size, side, unfinished, meta.segment_size)

    def _results(self) -> list[Result]:
        """Return the batch's outcomes, each with the frames that were put out for it."""
        batch = self._batch
        sent: dict[int, list[Any]] = {}
        count = batch.numbers[OUTPUT]
        for frame, origin in zip(batch.output[:count], batch.origins[:count], strict=True):
            sent.setdefault(int(origin), []).append(frame)
        return [
            _result(int(batch.outcomes[at]), [self._packet(frame) for frame in sent.get(at, [])])
            for at in range(batch.numbers[COUNT_IN])
        ]

    def _packet(self, frame: Any) -> tuple[bytes, SideName]:
        start, end = int(frame["start"]), int(frame["start"] + frame["length"])
        return self._batch.slots[frame["slot"], start:end].tobytes(), SIDES[int(frame["way"])]

    def _flush(self, wanted: FlowFilter, *, reset: bool) -> list[bytes]:
        packets: list[bytes] = []
        for command in flush_commands(self._indices, wanted, reset=reset):
            self._commands.ring[self._commands.counts[GIVEN] % RING] = command
            self._commands.counts[GIVEN] += 1
            while is_command_waiting(self._commands):
                start_batch(self._batch, 0)
                step_command(self._core, self._commands)
                packets += self._put_out()
        return packets

    def _put_out(self) -> list[bytes]:
        """Return all that the batch's output holds."""
        output = self._batch.output[: self._batch.numbers[OUTPUT]]
        return [self._packet(frame)[0] for frame in output]


STATE_COMMANDS: dict[str, BackendStateName] = {
    "drain": "draining",
    "maint": "maint",
    "ready": "ready",
}


def _hops(ttl: str) -> int:
    if ttl not in HOPS:
        raise UsageError(f"ttl={ttl!r} is none of {', '.join(HOPS)}", fix="ttl='route'")
    return HOPS[ttl]


def _mtus(mtu: int | tuple[int, int]) -> tuple[int, int]:
    """Return the MTU of the public and of the private side (RFC 791: 68 at the least)."""
    both = (mtu, mtu) if isinstance(mtu, int) else tuple(mtu)
    if len(both) != 2 or not all(isinstance(each, int) and 68 <= each <= 65535 for each in both):
        message = f"mtu={mtu!r} is not in 68..65535, nor a pair of such"
        raise UsageError(message, fix="mtu=1500, or mtu=(1500, 1400)")
    return both[0], both[1]


def _read(config: Mapping[str, Any] | str | PathLike[str]) -> Config:
    if isinstance(config, str | Path) or hasattr(config, "__fspath__"):
        return load_config(Path(config))
    return config_from_mapping(config)


def _backend_names(config: Config) -> list[tuple[str, str]]:
    return [
        (service.name, backend.name)
        for service in config.services.values()
        for backend in service.backends
    ]


def _split(command: str) -> list[str]:
    """Return a command's words; raises UsageError where a quotation does not end."""
    try:
        return shlex.split(command)
    except ValueError as error:
        raise UsageError(f"no command {command!r}: {error}") from error


def _result(outcome: int, packets: list[tuple[bytes, SideName]]) -> Result:
    reason = outcome >> 8
    return Result(
        verdict=Verdict(outcome & 0xFF),
        reason=DropReason(reason) if reason else None,
        packets=[octets for octets, _ in packets],
        sides=[side for _, side in packets],
    )


__all__ = ["DropReason", "Engine", "PacketMeta", "Result", "Verdict"]
