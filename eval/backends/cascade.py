"""A cascade: one pipeline draws small images, another enlarges them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...samplers.settings import setting, settings

if TYPE_CHECKING:
    from .cascade_model import CascadeModel


@settings
class Cascade:
    """Small images by one pipeline, enlarged by another that is given each of them, as in Imagen and DeepFloyd IF.

    What a sweep varies is the first stage; the second walks as said here. To vary that one, list several cascades.
    Saharia et al. 2022 (Imagen), arXiv:2205.11487.
    """

    first: Any = setting(None, kind="backend", help="what draws, such as diffusers(path='if-1')")
    second: Any = setting(None, kind="backend", help="what enlarges: diffusers(path) of a super-resolution pipeline")
    sampler: str = setting("dpmpp_2m", help="of the second stage")
    spacing: str = setting("trailing", help="of the second stage")
    steps: int = setting(20, low=1, high=10_000, help="of the second stage")
    guidance: str = setting("cfg(4)", help="of the second stage")

    def load(self, device: str = "cpu", dtype: str = "float32") -> CascadeModel:
        """
        Raises:
            FileNotFoundError, ValueError, ImportError: as the stages do, for a stage that is missing, and for a second
                one that is given no image or cannot walk as it should.
        """
        from .cascade_model import CascadeModel

        return CascadeModel(self, device, dtype)
