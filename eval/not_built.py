"""Methods of the literature and of other programs that are no plugins here, and why: the page "Not built".

A row is removed as its method is built; a test holds the names apart from those that are registered.
"""

from __future__ import annotations

from typing import NamedTuple


class NotBuilt(NamedTuple):
    """A method that is left out."""

    kind: str
    name: str
    source: str
    """Paper or program, as in docstrings: arXiv:NNNN.NNNNN, doi: or a link."""
    reason: str


NOT_BUILT = (
    NotBuilt(
        "guidance",
        "recfg",
        "Xia et al. 2024, arXiv:2410.18737",
        "Its coefficients are a table of ratios measured beforehand, for each model and each condition.",
    ),
    NotBuilt(
        "guidance",
        "ltx2",
        "LTX-2, https://github.com/Lightricks/LTX-2",
        "CFG and skipped layers are slg(guidance=cfg). What is left leads away from a network whose attention between "
        "video and audio is cut, and no backend here makes video with sound.",
    ),
)
"""By kind, in the order of its page."""
