"""What parts of natlb cost by themselves, for whoever works on them: `python -m bench`.

    core        the packet path alone, no I/O       core_bed, core_driver
    policies    a pick, of every policy
    checks      health checks of many backends
    start       time to `ready`, memory of each process
    syn_flood   a flood, for tests/netns/test_flood.py

natlb beside its peers is `natlb bench`, in natlb/bench; what is measured there and here is told by
README.md in this folder. `results` and `report` are plain values, and the same as words.
"""
