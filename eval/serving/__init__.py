"""``sigmabench serve``: a page that follows a run, for the browser on this machine alone."""

from .server import serve as serve
