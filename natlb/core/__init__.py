"""The pure data plane: tables and packets in, verdicts and packets out. No I/O, clock or log."""
