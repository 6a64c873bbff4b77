"""TLS over a connection of a check, its handshake a step of its own.

By memory buffers, not by asyncio's transports: so a check knows when the handshake was over, closes
at once, and leaves nothing behind that closes later.
"""

from __future__ import annotations

import contextlib
import ssl
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from natlb.control.health.codes import Code
from natlb.control.health.steps import HANDSHAKE, Failure, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from natlb.control.config.values import CheckConfig
    from natlb.control.health.sockets import Stream
    from natlb.control.health.steps import Steps

T = TypeVar("T")
LARGEST_RECORD = 16384  # RFC 8446 section 5.1


class TlsStream:
    """A TLS connection inside a stream."""

    def __init__(self, stream: Stream, context: ssl.SSLContext, name: str) -> None:
        """Speak to who has this name."""
        self._stream = stream
        self._read, self._written = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._read, self._written, server_hostname=name)

    async def shake_hands(self, steps: Steps) -> None:
        """Make the connection, or raise `Failure` with what is wrong with the other side."""
        steps.begin(HANDSHAKE)
        await self._do(self._tls.do_handshake)
        steps.saw(self._seen())

    async def send(self, octets: bytes) -> None:
        """Send all of them."""
        await self._do(lambda: self._tls.write(octets))

    async def receive(self) -> bytes:
        """Return what comes next, nothing at the end, be it an orderly one or not."""
        try:
            return await self._do(lambda: self._tls.read(LARGEST_RECORD))
        except (ssl.SSLEOFError, ssl.SSLZeroReturnError):
            return b""

    def close(self) -> None:
        """Reset the connection."""
        self._stream.close()

    async def _do(self, action: Callable[[], T]) -> T:
        while True:
            try:
                done = action()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
                if action == self._tls.do_handshake:
                    raise Failure(Code.L6RSP, "closed before the end of the handshake") from error
                raise
            except ssl.SSLError as error:
                await self._complain()
                raise Failure(Code.L6RSP, _words(error)) from None
            else:
                await self._flush()
                return done

    async def _flush(self) -> None:
        if octets := self._written.read():
            await self._stream.send(octets)

    async def _complain(self) -> None:
        """Tell the other side why, if it still hears."""
        with contextlib.suppress(OSError):
            await self._flush()

    async def _fill(self) -> None:
        octets = await self._stream.receive()
        if octets:
            self._read.write(octets)
        else:
            self._read.write_eof()

    def _seen(self) -> str:
        """Return version, and who the certificate is for and until when, where it was checked."""
        version = self._tls.version() or "TLS"
        certificate: dict[str, Any] = self._tls.getpeercert() or {}
        if not certificate:
            return f"{version}, certificate not checked"
        subject = certificate.get("subject", ())
        names = ", ".join("=".join(pair) for part in subject for pair in part)
        until = certificate.get("notAfter")
        return shown(f"{version}, certificate {names or 'without a subject'} until {until}")


def _words(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate: {shown(error.verify_message)}"
    return f"TLS: {shown(error.reason or str(error)).replace('_', ' ').lower()}"


def context_of(check: CheckConfig) -> ssl.SSLContext:
    """Return what the other side is held to; a file that cannot be used is natlb's own failure."""
    try:
        changed = Path(check.ca).stat().st_mtime_ns if check.ca else 0
        return _context(check.ca, changed, verify=check.verify)
    except (OSError, ValueError) as error:
        words = getattr(error, "strerror", None) or str(error)
        reason = f"cannot use the certificates of {check.ca or 'the host'}: {shown(words)}"
        raise Failure(Code.SOCKERR, reason, is_ours=True) from None


@lru_cache(maxsize=64)
def _context(ca: str | None, changed: int, *, verify: bool) -> ssl.SSLContext:  # noqa: ARG001 - a changed file is another key
    if verify:
        return ssl.create_default_context(cafile=ca)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
