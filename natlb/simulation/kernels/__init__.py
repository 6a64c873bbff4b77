"""The compiled part: a clock that calls the real core, and picks that natlb itself does not have.

world      what is given for each flow, what became of it, and the servers behind natlb
calendar   what is due next, in preallocated arrays
driver     the clock: a flow arrives, is answered, waits for a server, ends
probe      what a policy would answer to many clients, one after the other
contrasts  failures known from elsewhere, to be looked at
"""
