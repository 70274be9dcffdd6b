from .checkpoint import BrokenCheckpointError, CheckpointError, LoadOptions, load_checkpoint, save_checkpoint
from .files import atomic_write, write_json, write_text
from .hashes import file_sha256, folder_sha256
from .plain import to_plain
from .progress import ProgressBar, track

__all__ = [
    'BrokenCheckpointError',
    'CheckpointError',
    'LoadOptions',
    'ProgressBar',
    'atomic_write',
    'file_sha256',
    'folder_sha256',
    'load_checkpoint',
    'save_checkpoint',
    'to_plain',
    'track',
    'write_json',
    'write_text',
]
