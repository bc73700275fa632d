"""Imported by the process that workers are forked from: a sweep made ready once has imported all that they need."""

from killing import sweep

from sigmabench.eval.prepared import Prepared

Prepared(sweep(cells=1, images=2))
