from __future__ import annotations

import pytest

from natlb import jit

MODULE = """
define void @entry() {
  call void @kernel()
  ret void
}
define linkonce_odr void @kernel() {
  ret void
}
declare void @write()
"""


@pytest.mark.skipif(not jit.COMPILED, reason="about compiled kernels")
def test_what_an_entry_calls_is_known_to_nobody_else() -> None:
    """An entry stays known, since others look it up; what lies elsewhere stays a declaration."""
    from llvmlite import binding

    from natlb.linking import keep_inside

    module = binding.parse_assembly(MODULE)
    keep_inside(module)

    linkages = {each.name: each.linkage.name for each in module.functions}
    assert linkages == {"entry": "external", "kernel": "internal", "write": "external"}
