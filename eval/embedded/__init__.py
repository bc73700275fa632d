"""Networks small enough to travel inside the package, and the recipes that trained them.

`captions` is the language they speak, `features` and `judge` look at images, `imagetext` relates images to captions,
`generator` and `codec` draw images. Nothing heavy is imported here: import the module whose network is needed.
"""
