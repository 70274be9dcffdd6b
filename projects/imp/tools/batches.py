"""Measure how far the figures of a model with experts depend on the batches that it is tested in.

Experts choose among all tokens of a group, so the vector of a sample depends on who shares its batch. Each row of the
table is a test of the same weights at another batch size, at last with a group of its own for every sample. The last
two columns say how like the vectors of the first test's visuals are those of the first row, by their cosine.

    python -m projects.imp.tools.batches projects/imp/configs/demo_pretrain_moe.py work_dirs/demo_pretrain_moe
"""

import argparse
import json
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np

from omnivl.engine import read_config
from omnivl.engine.command_line import build_runner
from omnivl.evaluation.base import batches
from omnivl.evaluation.texts import to_numpy
from omnivl.models.interfaces import Contrasts, serving
from omnivl.models.mode import evaluation_mode

UNUSED = (
    'train_dataloader',
    'train_cfg',
    'optim_wrapper',
    'param_scheduler',
    'val_dataloader',
    'val_evaluator',
    'val_cfg',
)
OWN_GROUP = {'model.trunk.encoder.experts.groups': 'sample'}
FIGURES = ('*r1', '*top1')


def test(config: str, run: str, batch_size: int, by_sample: bool, out: Path) -> tuple[dict[str, float], np.ndarray]:
    """Test a run in batches of one size.

    Args:
        config: Path of its config.
        run: Its work directory, or a checkpoint.
        batch_size: Visuals of a batch.
        by_sample: Whether each sample is a group of its own.
        out: Work directory of the test.

    Returns:
        Figure -> value, in percent, of recall at 1 and of accuracy; and vectors of the first test's visuals, (n, E).
    """
    cfg = read_config(config, options=OWN_GROUP if by_sample else {})
    for key in UNUSED:
        cfg[key] = None
    for loader in cfg.test_dataloader.values():
        loader.batch_size = batch_size
    cfg.load_from = dict(type='StageReader', file=run)
    cfg.work_dir = str(out)
    runner = build_runner(cfg, None)
    figures = runner.test()
    chosen = {name: value for name, value in figures.items() if any(fnmatch(name, one) for one in FIGURES)}
    return chosen, vectors(runner.bare_model, runner.test_loop.dataloader)


def vectors(model: Any, loaders: Any) -> np.ndarray:
    """Embed the visuals of the first of some loaders: unit vectors, float32 (n, E)."""
    name, loader = next(iter(loaders.loaders.items()))
    contrasts = serving(model, Contrasts, name)
    with evaluation_mode(model):
        found = [
            to_numpy(contrasts.project_visual(contrasts.encode(batch).pooled))
            for batch, _ in batches(model, loader, name)
        ]
    return np.concatenate(found)


def main() -> None:
    """Test at every batch size, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of a model with experts')
    parser.add_argument('run', help='its work directory, or a checkpoint')
    parser.add_argument('--sizes', type=int, nargs='+', default=[1, 5, 25, 100], help='batch sizes')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/imp_batches'), help='folder of the tests')
    arguments = parser.parse_args()
    settings = [(size, False) for size in arguments.sizes] + [(arguments.sizes[-1], True)]
    rows: dict[str, dict[str, float]] = {}
    first: np.ndarray | None = None
    for size, by_sample in settings:
        figures, found = test(arguments.config, arguments.run, size, by_sample, arguments.out)
        first = found if first is None else first
        cosines = (found * first).sum(axis=1)
        likeness = {'cosine, mean': float(cosines.mean()), 'cosine, least': float(cosines.min())}
        rows[f'batches of {size}' + (', a group for each sample' if by_sample else '')] = figures | likeness
    names = list(next(iter(rows.values())))
    print('| | ' + ' | '.join(names) + ' |\n| --- |' + ' ---: |' * len(names))
    for title, row in rows.items():
        cells = (f'{row[name]:.3f}' if name.startswith('cosine') else f'{row[name]:.1f}' for name in names)
        print(f'| {title} | {" | ".join(cells)} |')
    (arguments.out / 'batches.json').write_text(json.dumps(rows, indent=1))


if __name__ == '__main__':
    main()
