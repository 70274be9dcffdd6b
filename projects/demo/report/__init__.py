"""The pieces of the report, made of what a run has left on disk."""

from omnivl.commands.pages import MediaReader

from .curves import draw_curves
from .page import render_page
from .run_files import Curve, RunFiles, read_run
from .task_files import TaskRun, read_tasks
from .task_page import markdown_table, render_task_page

__all__ = [
    'Curve',
    'MediaReader',
    'RunFiles',
    'TaskRun',
    'draw_curves',
    'markdown_table',
    'read_run',
    'read_tasks',
    'render_page',
    'render_task_page',
]
