"""Kernels called one by one, which only plain Python can: compiled, they are called as a whole."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from natlb import jit
from natlb.core.flow_table import FlowTable, bind, hash_key, insert
from natlb.core.layout import HALF, OPENING
from natlb.core.memory import Kind, flow_items, make, start_flows
from natlb.testing.packets import split_endpoint
from natlb.wire.fields import TCP
from natlb.wire.frame import FRAME
from natlb.wire.parse import parse
from natlb.wire.parsed import PARSED


def why_not_one_by_one() -> str:
    """Return why kernels cannot be called from Python here, or nothing."""
    if jit.COMPILED and not jit.CALLABLE:
        return "calls kernels one by one: a process beside does, with NATLB_JIT=0"
    return ""


def needs_plain_kernels() -> None:
    """Skip the test file that calls this where kernels cannot be called from Python."""
    if reason := why_not_one_by_one():
        pytest.skip(reason, allow_module_level=True)


def octets(packet: bytes) -> Any:
    """Return a packet as kernels see it."""
    return np.frombuffer(bytearray(packet), np.uint8)


def frame_of(packet: bytes, **form: int) -> Any:
    """Return the frame of a packet that lies at the start of its slot, with this offload form."""
    frame = np.zeros(1, FRAME)[0]
    frame["length"] = len(packet)
    for name, value in form.items():
        frame[name] = value
    return frame


def parsed_of(packet: bytes, **form: int) -> Any:
    """Return what `parse()` makes of a packet in this offload form."""
    parsed = np.zeros(1, PARSED)[0]
    parse(octets(packet), frame_of(packet, **form), parsed)
    return parsed


def key_of(source: str, destination: str) -> Any:
    """Return the key of packets that go from one end to the other."""
    key = np.zeros(1, HALF)[0]
    for name, text in (("source", source), ("destination", destination)):
        address, port = split_endpoint(text)
        number = int(address) | (0xFFFF << 32 if address.version == 4 else 0)
        for lane in range(4):
            key[f"{name}{lane}"] = number >> 32 * (3 - lane) & 0xFFFFFFFF
        key[f"{name}_port"] = port
    return key


def table_of(max_flows: int, secret: bytes = b"secret 12345") -> FlowTable:
    """Return an empty flow table."""
    flows: FlowTable = make(Kind.FLOWS, **flow_items(max_flows))
    start_flows(flows, max_flows, secret, 0)
    return flows


def client_key(number: int) -> Any:
    """Return the original key of one of 2^32 clients' flows."""
    lane = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    return key_of(f"{lane}:{40000 + (number >> 24)}", "203.0.113.10:80")


def reply_key(number: int, backend: str = "10.200.0.11:8080") -> Any:
    """Return the key of what a backend answers to that client."""
    original = client_key(number)
    key = key_of(backend, "0.0.0.0:0")
    for lane in range(4):
        key[f"destination{lane}"] = original[f"source{lane}"]
    key["destination_port"] = original["source_port"]
    return key


def write_reply(flows: FlowTable, number: int, key: Any) -> None:
    """Write a row's reply key, as opening a flow does before `bind()`."""
    reply = flows.rows[number]["reply"]
    for name in (*(f"{end}{lane}" for end in ("source", "destination") for lane in range(4)),):
        reply[name] = key[name]
    reply["source_port"], reply["destination_port"] = key["source_port"], key["destination_port"]


def add_flow(flows: FlowTable, number: int, state: int = OPENING, protocol: int = TCP) -> int:
    """Insert and bind a client's flow; return what `bind()` says, 0 where there is no room."""
    key = client_key(number)
    row = insert(flows, key, protocol, hash_key(flows, key, protocol))
    if row == 0:
        return 0
    write_reply(flows, row, reply_key(number))
    return bind(flows, row, state)
