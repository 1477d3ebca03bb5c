"""The static checker: what can be known of a script before it runs.

    program.py      the script and what it includes, as lines with their commands (reading.py)
    walk.py         from line to line along all ways a run can take (state.py: what is known on the way)
    rules           labels.py variables.py values.py disks.py files.py secrets.py loops.py: one idea each
    codes.py        every rule with its code and page; findings.py, sarif.py: what comes out
    checker.py      all of it together
"""
