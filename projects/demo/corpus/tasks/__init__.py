from .parameters import TaskParameters
from .write import write_tasks

__all__ = ['TaskParameters', 'write_tasks']
