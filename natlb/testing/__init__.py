"""A kit for those who test natlb, or against it: packets to send, and ends that speak TCP."""
