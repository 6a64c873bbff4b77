"""The host's network as natlb needs it: worked out, set up, and put back exactly as it was.

Wanted.of(config)         what a configuration wants                             plan
choose(wanted, reader)    which driver brings packets in, and why                choose
resolve(wanted, reader)   which interfaces that means here, or why it cannot be  resolve, view
operations(old, new)      the steps from plan to plan, pure                      operations
apply(steps, journal)     the steps made; what undoes each is written first      apply, journal
Links()                   the sockets that packets come in by, where that is no TUN   links
Steering()                whose a packet is among several workers' queues         steering
Upkeep(journal)           the host kept so, whatever others do to it            upkeep, concern
undo(journal)             everything taken back, also after a crash              apply
checks(...)               what in this host would stop natlb                     doctor
"""

from natlb.control.host.announce import announce
from natlb.control.host.apply import apply, undo
from natlb.control.host.check import Check, verdict
from natlb.control.host.choose import choose
from natlb.control.host.concern import Concern, Need
from natlb.control.host.doctor import examine
from natlb.control.host.hop_follower import HopFollower
from natlb.control.host.journal import Journal
from natlb.control.host.layout import (
    LayoutError,
    decode_plan,
    decode_wanted,
    encode_plan,
    encode_wanted,
)
from natlb.control.host.leftovers import cleanup
from natlb.control.host.links import Links, answered_by, filters_of
from natlb.control.host.operations import Step, operations, repair
from natlb.control.host.plan import PRIVATE_TUN, PUBLIC_TUN, HostPlan, Side, Wanted
from natlb.control.host.probe import HostProbe
from natlb.control.host.reader import HostReader, KernelReader
from natlb.control.host.resolve import resolve
from natlb.control.host.steering import Steering, programs_of
from natlb.control.host.tun import Tun, open_tun
from natlb.control.host.upkeep import Upkeep

__all__ = [
    "PRIVATE_TUN",
    "PUBLIC_TUN",
    "Check",
    "Concern",
    "HopFollower",
    "HostPlan",
    "HostProbe",
    "HostReader",
    "Journal",
    "KernelReader",
    "LayoutError",
    "Links",
    "Need",
    "Side",
    "Steering",
    "Step",
    "Tun",
    "Upkeep",
    "Wanted",
    "announce",
    "answered_by",
    "apply",
    "choose",
    "cleanup",
    "decode_plan",
    "decode_wanted",
    "encode_plan",
    "encode_wanted",
    "examine",
    "filters_of",
    "open_tun",
    "operations",
    "programs_of",
    "repair",
    "resolve",
    "undo",
    "verdict",
]
