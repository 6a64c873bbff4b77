"""What natlb does in a second, beside its peers, in one run: `python -m bench`, `make bench`.

    results    measures, aims and what became of them: plain values
    report     the same as JSON and as Markdown
    machine    where it was measured, and with which versions
    core       the packet path alone, no I/O       forge, core_driver
    tun        through TUN in namespaces           forwarders, stand, traffic, udp_sender, bare
    start      time to `ready`, memory

Absolute figures drift by a third from run to run, on virtual machines more than elsewhere: the
peers of a figure are measured in turn with it, repetition by repetition, and ratios are what
counts.
"""
