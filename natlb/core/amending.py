"""What a flow's actions change in a packet beside addresses and ports: MSS, identification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from natlb.core.identification import next_identification
from natlb.core.layout import ACTION_IPID, ACTION_MSS, ACTION_XLAT
from natlb.jit import i64, kernel, rare_kernel
from natlb.wire.fields import SYN
from natlb.wire.mss import clamp_mss
from natlb.wire.rewrite import set_identification

if TYPE_CHECKING:
    from natlb.core.state import Core
    from natlb.wire.octets import Octets


@rare_kernel
def amend(core: Core, i: int, packet: Octets, row: Any) -> None:
    """Do what a row's actions say with a packet that was rewritten.

    Full NAT: where a packet may be fragmented, its identification must not be one that another
    client behind the same address uses (RFC 7857 section 11). Later fragments get their first's.
    """
    parsed = core.batch.parsed[i]
    actions = i64(row["actions"])
    if actions & ACTION_IPID and not parsed["dont_fragment"]:
        set_identification(packet, next_identification(core))
    if actions & ACTION_MSS and parsed["tcp_flags"] & SYN:
        lower_mss(core, i, packet, row)


@kernel
def lower_mss(core: Core, i: int, packet: Octets, row: Any) -> None:
    """Lower a SYN's MSS to what its service lets through, for IPv6 where either side speaks it."""
    service = core.tables.services[i64(row["service"])]
    parsed = core.batch.parsed[i]
    has_ip6 = parsed["version"] == 6 or i64(row["actions"]) & ACTION_XLAT
    limit = i64(service["mss6"]) if has_ip6 else i64(service["mss4"])
    if limit != 0:
        clamp_mss(packet, core.batch.frames[i], parsed, limit)
