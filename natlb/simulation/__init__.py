"""Policies against each other on the real core, with a virtual clock: nothing here is measured.

    scenario = Scenario(workload=…, changes=[…], slowness={…}, servers=4)
    reports = [measure(run(arena, contender, scenario)) for contender in contenders]

    forms      how a workload is written: `poisson:1000`, `exp:2.5`, `zipf:1.1:5000`
    workload   flows: when they start, who calls, how long they take; or those of a capture
    changes    what befalls backends, and when
    packets    the five packets of a flow's life
    stage      a core, its tables, and what changes them
    run        a policy over a workload
    disruption who is given another backend where the pool changes
    measures   what came of it, in numbers
    pictures   and drawn
    kernels    the compiled part

What of the core is real here and what is modelled: docs/decisions/0037-what-a-simulation-is.md.
"""
