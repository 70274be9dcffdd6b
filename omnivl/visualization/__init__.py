"""What a person looks at: the pieces of the report, made of what a run has left on disk."""

from .curves import draw_curves
from .media import MediaReader
from .page import render_page
from .run_files import Curve, RunFiles, read_run

__all__ = ['Curve', 'MediaReader', 'RunFiles', 'draw_curves', 'read_run', 'render_page']
