"""How the benchmarks keep their figures."""

import json
from pathlib import Path
from typing import Any


def write_json(file: Path | None, figures: dict[str, Any]) -> None:
    """Write figures to a file, if one was asked for."""
    if file is not None:
        file.write_text(json.dumps(figures, indent=2) + '\n')
