"""Runs a benchmark's config on a tiny data set: the config as it is, but for sizes, paths of weights and length."""

import contextlib
import os
import string
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from config_nodes import dicts
from mmengine.config import Config
from PIL import Image

from omnivl.engine import OmniVLRunner, check_config, read_config

CONFIGS = Path(__file__).parents[2] / 'configs/omnivl'
SIZE = 32
SIZED = ('CenterCrop', 'RandomResizedCrop', 'Resize', 'ThreeCrop')
WORDS = ('a', 'the', 'of', 'is', 'in', 'on', 'what', 'man', 'dog', 'red', 'picture', 'photo', 'video', 'yes', 'no')
VOCAB_FILE = 'data/bert-base-uncased/vocab.txt'


def run_small(
    config: str, root: Path, edits: Callable[[Config], None] | None = None, train: bool = True
) -> dict[str, float]:
    """Train a config for an epoch of tiny data, then test it.

    Args:
        config: Name of a file in ``configs/omnivl``.
        root: Where the data lie, at the relative paths of the config; becomes the working directory for the run.
        edits: Changes the shrunk config before the run.
        train: Whether to train; configs that only test have nothing to train on.

    Returns:
        The figures of the test.
    """
    root = Path(root)
    model_words = write_vocabulary(root / VOCAB_FILE)
    with working_directory(root):
        cfg = shrink(read_config(CONFIGS / config), model_words)
        cfg.work_dir = str(root / 'work_dirs' / Path(config).stem)
        if edits is not None:
            edits(cfg)
        check_config(cfg)
        runner = OmniVLRunner.from_cfg(cfg)
        if train:
            runner.train()
            assert runner.iter >= 2
        return runner.test()


def shrink(cfg: Config, vocab_size: int) -> Config:
    """Make model, pictures and batches tiny, and the training an epoch long."""
    cfg.load_from = None
    for node in dicts(cfg._cfg_dict):
        name = getattr(node.get('type'), '__name__', str(node.get('type'))).split('.')[-1]
        if 'depth' in node and 'num_heads' in node:
            node.update(width=16, depth=2, num_heads=2)
        for key, small in (('image_size', SIZE), ('patch_size', 8), ('vocab_size', vocab_size), ('embed_dim', 8)):
            if key in node:
                node[key] = small
        if 'queue_length' in node:
            node['queue_length'] = 8
        if name in SIZED:
            node['size'] = SIZE
        if node.get('short_side'):
            node['short_side'] = SIZE + 4
        if 'batch_size' in node and 'dataset' in node:
            node.update(batch_size=2, num_workers=0, pin_memory=False)
            node.pop('persistent_workers', None)
    if cfg.get('train_cfg'):
        cfg.train_cfg.update(dict(max_epochs=1) if 'max_epochs' in cfg.train_cfg else dict(max_iters=2))
    return cfg


def write_vocabulary(path: Path) -> int:
    """Write letters and a few words as word pieces; returns their number with [DEC] and [ENC]."""
    letters = [*string.ascii_lowercase, *string.digits, *".,?!-'"]
    pieces = [
        '[PAD]',
        '[UNK]',
        '[CLS]',
        '[SEP]',
        '[MASK]',
        *letters,
        *(f'##{letter}' for letter in letters),
        *WORDS[1:],
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('\n'.join(pieces) + '\n', encoding='utf-8')
    return len(pieces) + 2


def write_image(path: Path, seed: int = 0, size: tuple[int, int] = (40, 48)) -> None:
    """Write a JPEG of coloured noise, height x width."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)


def write_video(path: Path, seed: int = 0, num_frames: int = 12, fps: int = 8, container: str | None = None) -> None:
    """Write a clip of coloured noise, 48 x 48 pixels, whatever its name ends in (``container``: 'mp4', 'avi', ...)."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    with av.open(str(path), 'w', format=container) as file:
        stream = file.add_stream('mpeg4', rate=fps)
        stream.width = stream.height = 48
        stream.pix_fmt = 'yuv420p'
        stream.time_base = Fraction(1, fps)
        for _ in range(num_frames):
            pixels = rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format='rgb24')))
        file.mux(stream.encode())


@contextlib.contextmanager
def working_directory(path: Path) -> Iterator[None]:
    """Work in another folder for a while."""
    before = Path.cwd()
    os.chdir(path)
    try:
        yield
    finally:
        os.chdir(before)
