"""A folder of images as a model, so that closed services are scored beside what can be swept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...samplers.settings import setting, settings

if TYPE_CHECKING:
    from .given_images import GivenImages


@settings
class Images:
    """Images that are there already, such as those of DALL-E 3, Midjourney or Imagen 3: one cell, without settings.

    Which image is of which prompt is said by a table with the columns file_name and prompt, by names that are numbers
    (of the sweep's images, from 0, as save_images writes them), or by names that are the prompts: a_cat_on_a_mat.png,
    a_cat_on_a_mat (2).png. They are paired with the images of other models by prompt, not by noise.
    https://huggingface.co/docs/datasets/image_dataset.
    """

    path: str = setting("", help="folder of PNG, JPEG or WebP files, all of one size")
    table: str = setting("", help="CSV or TSV with file names and prompts; default: metadata.csv in the folder")

    def load(self, device: str = "cpu", dtype: str = "float32") -> GivenImages:
        """
        Raises:
            FileNotFoundError, ValueError: no such folder or table, a file that is no image, of another size than the
                others or outside of the folder, and names that say nothing; naming it and the remedy.
        """
        from .given_images import GivenImages

        return GivenImages(self)
