"""Faults of other programs that ours does not have, each shown by a number on both sides.

    python -m sigmabench.eval.faults                         # measure all that can be measured on this machine
    python -m sigmabench.eval.faults ddim-trailing           # one of them
    python -m sigmabench.eval.faults --write reports/peers   # and write the table

The tests hold both sides to their numbers, so that a repair elsewhere turns a test red and its row leaves the table.
"""
