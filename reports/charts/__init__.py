"""Charts of results, one idea a file: each is a function of the frame and returns an Altair chart.

    chart = quality(read_results("runs/first"))     # shown as it is in a notebook
    save(chart, "quality.svg")                      # or .png, .pdf: a figure for a paper, made without a network

The report draws the same charts and gives them the rows its reader has chosen.
"""

from __future__ import annotations

from .heat import heat as heat
from .quality import quality as quality
from .ranking import ranking as ranking
from .rows import chart_rows as chart_rows
from .save import png as png
from .save import save as save
from .tradeoff import tradeoff as tradeoff
