"""The static checker: what can be known of a script before it runs.

    reading.py      a line: its commands with their arguments, still unexpanded
    program.py      the script and what it includes, and which variables are set anywhere
    premises.py     the world: files of the server, disks, variables from outside
    walk.py         along all ways a run can take, with what is known on each of them (state.py); step.py is a command on the way
    rules           variables.py disks.py files.py secrets.py captures.py loops.py: one idea each
    codes.py        every rule with its code and page; findings.py, sarif.py: what comes out
    checker.py      all of it together
"""
