"""``sigmabench explore``: what schedules, spacings, steps and guidance do, as data for a page to look at them."""
