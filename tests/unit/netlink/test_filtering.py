"""Who has a say about what a host forwards, asked of real namespaces."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from natlb.netlink.filtering import filtering
from tests.gateway import namespaces_of

needs_nft = pytest.mark.skipif(shutil.which("nft") is None, reason="nft is not installed")


@pytest.mark.netns
@needs_nft
def test_each_kind_of_say_is_found() -> None:
    """An empty chain has none; one of input that tracks makes everything tracked."""
    with namespaces_of("filters") as [name]:

        def told(rules: str) -> list[str]:
            command = ["ip", "netns", "exec", name, "nft", f"flush ruleset; {rules}"]
            subprocess.run(command, check=True, timeout=60)
            return filtering(name)

        chain = "add table inet f; add chain inet f c { type filter hook %s priority 0; %s }"
        tracks = ["rules of nftables track connections"]
        assert filtering(name) == []
        assert told(chain % ("forward", "")) == []
        assert told(chain % ("forward", "policy drop;")) == ["nftables chain inet f c"]
        assert told(chain % ("forward", "") + "; add rule inet f c counter") == [
            "nftables chain inet f c"
        ]
        assert told(chain % ("input", "") + "; add rule inet f c counter") == []
        assert told(chain % ("input", "") + "; add rule inet f c ct state new accept") == tracks
        nat = "add table ip n; add chain ip n c { type nat hook output priority 0; }"
        assert told(nat) == tracks


@pytest.mark.netns
def test_policies_of_ipsec_are_found() -> None:
    """What they would encrypt must not leave as it is."""
    with namespaces_of("ipsec") as [name]:
        words = "xfrm policy add src 10.0.0.0/8 dst 10.1.0.0/16 dir out tmpl src 192.0.2.1"
        words += " dst 192.0.2.2 proto esp mode tunnel"
        command = ["ip", "-n", name, *words.split()]
        if subprocess.run(command, check=False, timeout=60, stderr=subprocess.DEVNULL).returncode:
            pytest.skip("this kernel has no IPsec")

        assert filtering(name) == ["policies of IPsec"]
