"""Metrics of image sets. Observers look at images once; metrics compute numbers from what they stored."""

from .agreement import ClassAgreement as ClassAgreement
from .brightness import Contrast as Contrast
from .brightness import Luminance as Luminance
from .clip_score import ClipScore as ClipScore
from .diversity import Diversity as Diversity
from .frechet import FID as FID
from .frechet import FrechetDistance as FrechetDistance
from .kid import KernelDistance as KernelDistance
