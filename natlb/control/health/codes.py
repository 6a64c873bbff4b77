"""What a check came to, in HAProxy's words: management guide, `show stat`, `check_status`.

The first part of a code is how far the check came: layer 4 the connection, 6 TLS, 7 the answer,
PROC a program. What is not here HAProxy has and natlb does not say: INI and UNK are `unknown`
health, no check of natlb ends with the handshake (L6OK), and none passes conditionally (L7OKC).
"""

from __future__ import annotations

from enum import StrEnum


class Code(StrEnum):
    """How a check ended."""

    L4OK = "L4OK"
    L4TOUT = "L4TOUT"
    L4CON = "L4CON"
    L6TOUT = "L6TOUT"
    L6RSP = "L6RSP"
    L7OK = "L7OK"
    L7TOUT = "L7TOUT"
    L7RSP = "L7RSP"
    L7STS = "L7STS"
    PROCOK = "PROCOK"
    PROCTOUT = "PROCTOUT"
    PROCERR = "PROCERR"
    SOCKERR = "SOCKERR"


PASSING = frozenset({Code.L4OK, Code.L7OK, Code.PROCOK})

WORDS = {
    Code.L4OK: "connected, or nothing speaks against it; nothing more was asked",
    Code.L4TOUT: "no connection in time",
    Code.L4CON: "refused, or no way there",
    Code.L6TOUT: "no TLS handshake in time",
    Code.L6RSP: "no TLS, or a certificate that is not right",
    Code.L7OK: "the answer is right",
    Code.L7TOUT: "no answer in time",
    Code.L7RSP: "an answer that cannot be read, or not what was expected",
    Code.L7STS: "an answer that says no",
    Code.PROCOK: "the program says yes",
    Code.PROCTOUT: "the program did not end in time",
    Code.PROCERR: "the program says no, or could not be run",
    Code.SOCKERR: "natlb could not ask: this says nothing of the backend",
}
