"""How machine code is put together: entries whole, and what they call known to nobody else.

Numba's own places are set anew here; `jit.py` says which kernels are entries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llvmlite.binding import Linkage
from numba.core import codegen, cpu

if TYPE_CHECKING:
    from collections.abc import Callable


def optimize_entries_alone(is_inside: Callable[[str], bool]) -> None:
    """Have LLVM work on whole entries only, once, instead of anew at each level of calls below.

    Numba optimizes and emits every function with all it calls, and then again in each caller: of
    our ten levels that was four fifths of the first compile. What is not an entry stays as it is
    until it is linked into one. Where a later Numba has no such places, it goes the long way.
    """
    library, context = codegen.JITCodeLibrary, cpu.CPUContext
    places = "_optimize_final_module", "_finalize_final_module"
    if not all(hasattr(library, place) for place in places):
        return
    optimize, emit = (getattr(library, place) for place in places)
    executable = context.get_executable

    def optimize_entry(self: Any) -> None:
        if not is_inside(self.name):
            keep_inside(self._final_module)
            optimize(self)

    def emit_entry(self: Any) -> None:
        if not is_inside(self.name):
            emit(self)
        self._finalized = True  # so that it can be linked

    def entry_executable(self: Any, library: Any, description: Any, environment: Any) -> Any:
        if not is_inside(description.qualname):
            return executable(self, library, description, environment)
        # Numba knows a function by this object, so each needs its own; it is never called, since
        # Python has no way to a kernel's machine code.
        return object().__dir__

    for place, ours in zip(places, (optimize_entry, emit_entry), strict=True):
        setattr(library, place, ours)
    context.get_executable = entry_executable


def keep_inside(module: Any) -> None:
    """Let LLVM know that nobody else calls what an entry calls: then it leaves out arguments.

    A tuple of all tables is some three hundred numbers, each handed on, of which a kernel that is
    called and not inlined needs a few.
    """
    for function in module.functions:
        if not function.is_declaration and function.linkage == Linkage.linkonce_odr:
            function.linkage = "internal"
