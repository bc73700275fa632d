"""What a page that works offline holds: the chart library, its data, and a policy that lets in nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import lru_cache
from typing import Any

from markupsafe import Markup


@lru_cache(maxsize=1)
def library() -> Markup:
    """Vega, Vega-Lite and Vega-Embed in one script: 0.9 MB, made by vl-convert without a network."""
    import vl_convert

    bundle: Any = vl_convert.javascript_bundle  # its stub demands an argument that it does not need
    script = bundle().replace("</script", "<\\/script")
    return Markup(f"(() => {{\n{script}\n}})();")  # its many short names stay its own


def json_data(value: Any) -> Markup:
    """For a script element that is not run: no "<", so that nothing in it can end the element."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))


def policy(*scripts: str, style: str | None = None, pictures: str = "data:") -> str:
    """The Content-Security-Policy of a page with these scripts alone.

    Args:
        style: its style sheet, where it needs no other; without one, any inline style is allowed.
        pictures: where images may come from.
    """
    styles = "'unsafe-inline'" if style is None else _hashes(style)
    allowed = f"img-src {pictures}; style-src {styles}; script-src {_hashes(*scripts)}"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


def _hashes(*texts: str) -> str:
    return " ".join(f"'sha256-{_digest(text)}'" for text in texts)


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
