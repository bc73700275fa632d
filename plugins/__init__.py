"""The registry: how samplers, schedules, spacings, guidance, backends and metrics enter and are found."""

from .hookspecs import hookimpl as hookimpl
