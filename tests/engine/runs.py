"""Starting toy runs, also in processes of their own, and comparing them bit for bit."""

import json
from pathlib import Path
from typing import Any

import torch
import toys
from forked import run_ranks as run_ranks
from forked import start_process as start_process

from omnivl.engine import OmniVLRunner
from omnivl.storage import load_checkpoint

# Seconds differ from run to run; everything else that is logged must not.
TIMES = ('time', 'data_time', 'samples_per_second', 'memory')


def train(work_dir: Path, name: str, stop: dict | None = None, **changes: Any) -> OmniVLRunner:
    """Train a toy run, up to where it is stopped."""
    if stop is not None:
        changes['custom_hooks'] = [dict(type='StopHook', **stop)]
    runner = OmniVLRunner.from_cfg(toys.toy_config(work_dir, name, **changes))
    runner.train()
    return runner


def assert_same_run(first: Path, second: Path, iteration: int) -> None:
    """Compare weights, buffers, optimizer, schedulers, place and logged values of two runs, bit for bit."""
    one, two = (load_checkpoint(path / f'iter_{iteration}.pth') for path in (first, second))
    for part in ('state_dict', 'optimizer', 'param_schedulers', 'train_loop', 'random_states'):
        assert_equal(one[part], two[part], part)
    assert_equal(logged(first), logged(second), 'log')


def assert_equal(one: Any, two: Any, name: str) -> None:
    """Compare two nested values bit for bit."""
    assert type(one) is type(two), name
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, two), name
    elif isinstance(one, dict):
        assert one.keys() == two.keys(), name
        for key, value in one.items():
            assert_equal(value, two[key], f'{name}.{key}')
    elif isinstance(one, list):
        assert len(one) == len(two), name
        for index, (left, right) in enumerate(zip(one, two)):
            assert_equal(left, right, f'{name}[{index}]')
    else:
        assert one == two, name


def logged(work_dir: Path) -> dict[int, dict[str, float]]:
    """Iteration -> logged training values; where a run was cut off and went on, the later ones count."""
    lines = {}
    for path in sorted(work_dir.glob('*/vis_data/scalars.json'), key=lambda path: path.stat().st_mtime_ns):
        for line in path.read_text().splitlines():
            values = json.loads(line)
            if 'lr' in values:
                kept = {key: value for key, value in values.items() if not key.endswith(TIMES)}
                lines[values['step']] = kept
    return lines
