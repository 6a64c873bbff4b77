"""Why a system call failed, in compiled code and in plain Python."""

from __future__ import annotations

from typing import Any

from natlb.io.calls import memmove
from natlb.jit import COMPILED, external, i64, kernel

# The numbers of Linux (asm-generic): where others differ, natlb does not run
EINTR = 4
EBADF = 9
EAGAIN = 11
EINVAL = 22
ENOTSOCK = 88
EMSGSIZE = 90
ENETDOWN = 100
ENOBUFS = 105

if COMPILED:
    _place = external("__errno_location", "intp")  # errno(3): each thread has its own

    @kernel
    def last_error(word: Any) -> int:
        """Return `errno` after an external function failed; `word` is an int32 array of one."""
        memmove(word.ctypes.data, _place(), 4)
        return i64(word[0])

else:

    def last_error(word: Any) -> int:
        """Return `errno` after an external function failed; `word` is an int32 array of one."""
        import ctypes  # noqa: PLC0415 - interpreted only

        word[0] = ctypes.get_errno()
        return int(word[0])
