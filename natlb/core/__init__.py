"""The pure data plane: tables in, packets in, verdicts and packets out. No I/O, no clock, no log."""
