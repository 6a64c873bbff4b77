"""Small programs for the kernel, assembled here: filters, steering to workers, the redirect.

No compiler is needed on the machine. Each program is written once, in the instructions of classic
BPF (`classic.py`), and becomes either classic BPF, which any process may attach to a socket of its
own, or extended BPF (`translate.py`), for a TUN device's queues and for XDP:

    packets.py    what the programs ask of a packet: addresses, ports, errors and what they quote
    filters.py    which packets are natlb's: a packet socket's filter
    steering.py   whose they are among the workers: fanout of packet sockets, queues of a TUN
    redirect.py   both questions at once, for XDP: into the right worker's AF_XDP socket

A side is PUBLIC (0) or PRIVATE (1), as everywhere in natlb.
"""
