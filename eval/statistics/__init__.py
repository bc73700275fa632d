"""How sure comparisons are, from what each image adds to each number. Nothing is resampled, so nothing is generated."""

from .clusters import clusters as clusters
from .clusters import interval as interval
from .joint import Joint as Joint
from .joint import draws as draws
from .pairs import Pairs as Pairs
from .pairs import pairs as pairs
from .pareto import front_probability as front_probability
from .planning import images_needed as images_needed
from .ranking import best_probability as best_probability
from .ranking import order_probability as order_probability
from .ranking import rank_interval as rank_interval
from .simultaneous import Differences as Differences
from .simultaneous import simultaneous as simultaneous
