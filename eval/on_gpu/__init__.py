"""Everything that wants a GPU, in one call of a few minutes on a machine that may have nothing but PyTorch.

    python -m sigmabench.eval.on_gpu.bundle FOLDER --data DATA     what to carry there, and the exact call
    python -m sigmabench.eval.on_gpu OUT --minutes 9               there: agree, measure, sweep
    python -m sigmabench.eval.on_gpu OUT --stages train --train-minutes 20 --data DATA
    python -m sigmabench.eval.on_gpu.collect OUT --name h200       here: into ``reports``

Each stage runs in a process of its own, is stopped when its time is over, and leaves what it has found so far.
``CONTRIBUTING.md`` says more.
"""
