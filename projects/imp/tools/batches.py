"""Measure how far the figures of a model with experts depend on the batches that it is tested in.

Experts choose among all tokens of a group, so the vector of a sample depends on who shares its batch. Each row of the
table is a test of the same weights at another batch size, at last with a group of its own for every sample.

    python -m projects.imp.tools.batches projects/imp/configs/demo_pretrain_moe.py work_dirs/demo_pretrain_moe
"""

import argparse
import json
from fnmatch import fnmatch
from pathlib import Path

from omnivl.engine import read_config
from omnivl.engine.command_line import build_runner

TRAINING = ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler')
VALIDATION = ('val_dataloader', 'val_evaluator', 'val_cfg')
OWN_GROUP = {'model.trunk.encoder.experts.groups': 'sample'}
FIGURES = ('*r1', '*top1')


def test(config: str, run: str, batch_size: int, by_sample: bool, out: Path) -> dict[str, float]:
    """Test a run in batches of one size.

    Args:
        config: Path of its config.
        run: Its work directory, or a checkpoint.
        batch_size: Visuals of a batch.
        by_sample: Whether each sample is a group of its own.
        out: Work directory of the test.

    Returns:
        Figure -> value, in percent, of recall at 1 and of accuracy.
    """
    cfg = read_config(config, options=OWN_GROUP if by_sample else {})
    for key in (*TRAINING, *VALIDATION):
        cfg[key] = None
    for loader in cfg.test_dataloader.values():
        loader.batch_size = batch_size
    cfg.load_from = dict(type='StageReader', file=run)
    cfg.work_dir = str(out)
    figures = build_runner(cfg, None).test()
    return {name: value for name, value in figures.items() if any(fnmatch(name, one) for one in FIGURES)}


def main() -> None:
    """Test at every batch size, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of a model with experts')
    parser.add_argument('run', help='its work directory, or a checkpoint')
    parser.add_argument('--sizes', type=int, nargs='+', default=[1, 5, 25, 100], help='batch sizes')
    parser.add_argument('--out', type=Path, default=Path('work_dirs/imp_batches'), help='folder of the tests')
    arguments = parser.parse_args()
    rows = {
        f'batches of {size}{", a group for each sample" * by_sample}': test(
            arguments.config, arguments.run, size, by_sample, arguments.out
        )
        for by_sample in (False, True)
        for size in (arguments.sizes if not by_sample else arguments.sizes[-1:])
    }
    names = list(next(iter(rows.values())))
    print('| | ' + ' | '.join(names) + ' |\n| --- |' + ' ---: |' * len(names))
    for title, figures in rows.items():
        print(f'| {title} | ' + ' | '.join(f'{figures[name]:.1f}' for name in names) + ' |')
    (arguments.out / 'batches.json').write_text(json.dumps(rows, indent=1))


if __name__ == '__main__':
    main()
