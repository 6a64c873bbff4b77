"""Control plane: configuration, host set-up, and the processes that natlb consists of."""
