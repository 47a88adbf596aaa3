"""Where the models lie that come with streamdet."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent


def shipped_model_path(name: str) -> Path | None:
    """Weights file of the model called `name` (such as "street"), or None when none of that name is shipped.

    An installed package holds them in `streamdet/models/`; a checkout (an editable install too) in `models/`.
    """
    if not name or Path(name).name != name:
        return None  # a path, not a name
    for folder in (_PACKAGE / "models", _PACKAGE.parent / "models"):
        path = folder / f"{name}.safetensors"
        if path.is_file():
            return path
    return None
