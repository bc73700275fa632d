"""A cascade: one pipeline draws images, another enlarges or refines them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...samplers.settings import setting, settings

if TYPE_CHECKING:
    from .cascade_model import CascadeModel


@settings
class Cascade:
    """Images by one pipeline, given to another that enlarges them (Imagen, DeepFloyd IF) or refines them (SDXL).

    A second stage with ``strength`` below 1 starts from the first one's image, noised; latents are handed on as they
    are where both have the same autoencoder. With ``handover`` it goes on with the unfinished latents from that time
    down, in those of its ``steps`` that are left then. What a sweep varies is the first stage; the second walks as said
    here. To vary that one, list several cascades. Saharia et al. 2022 (Imagen), arXiv:2205.11487; Podell et al. 2023
    (SDXL), arXiv:2307.01952.
    """

    first: Any = setting(None, kind="backend", help="what draws, such as diffusers(path='if-1')")
    second: Any = setting(
        None, kind="backend", help="what enlarges or refines: diffusers(path), diffusers(path, strength=0.3)"
    )
    handover: float = setting(
        0.0, low=0.0, high=0.999, help="time, 1 at noise, at which the second goes on; diffusers: 1 - denoising_end"
    )
    sampler: str = setting("dpmpp_2m", help="of the second stage")
    spacing: str = setting("trailing", help="of the second stage")
    steps: int = setting(20, low=1, high=10_000, help="of the second stage")
    guidance: str = setting("cfg(4)", help="of the second stage")

    def load(self, device: str = "cpu", dtype: str = "float32") -> CascadeModel:
        """
        Raises:
            FileNotFoundError, ValueError, ImportError: as the stages do, for a stage that is missing, and for a second
                one that cannot take what the first makes or cannot walk as it should.
        """
        from .cascade_model import CascadeModel

        return CascadeModel(self, device, dtype)
