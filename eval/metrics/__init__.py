"""Metrics of image sets. Observers look at images once; metrics compute numbers from what they stored."""

from .agreement import ClassAgreement as ClassAgreement
from .clip_score import ClipScore as ClipScore
from .cmmd import CMMD as CMMD
from .diversity import Diversity as Diversity
from .fd_infinity import FrechetInfinity as FrechetInfinity
from .frechet import FID as FID
from .frechet import FrechetDistance as FrechetDistance
from .hps import HPSv2 as HPSv2
from .image_reward import ImageReward as ImageReward
from .inception_score import InceptionScore as InceptionScore
from .kid import KernelDistance as KernelDistance
from .neighbours import Coverage as Coverage
from .neighbours import Density as Density
from .neighbours import Precision as Precision
from .neighbours import Recall as Recall
from .pick_score import PickScore as PickScore
from .pixels import Clipping as Clipping
from .pixels import Colourfulness as Colourfulness
from .pixels import Contrast as Contrast
from .pixels import Luminance as Luminance
from .pixels import Sharpness as Sharpness
from .trajectory import TrajectoryError as TrajectoryError
