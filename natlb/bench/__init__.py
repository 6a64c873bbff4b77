"""natlb beside its peers, in one run: `natlb bench`, `make bench`.

    aims        what is aimed at, as values         results     figures, medians, ratios: pure
    report      the same as Markdown and JSON       picture     ... and drawn
    columns     what is measured side by side       natlbs, bare, forwarder, peers
    stand       a column's own lab                  wire, udp_sender, forge
    loads       what is sent through it             traffic, iperf3, wrk
    rounds      in turn: A B C A B C                memory, machine
    run         one command from start to end       alone, warden

Absolute figures drift by a third from run to run, on virtual machines more than elsewhere: all
columns stand ready at once and are measured in turn, round by round, and ratios are what counts.
"""
