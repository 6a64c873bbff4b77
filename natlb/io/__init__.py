"""The only file descriptors of the packet path, and the loop that turns batches of packets."""
