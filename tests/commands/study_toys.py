"""A study of a toy model, whose runs take processes of the forkserver."""

import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / 'engine'))
import toys
from forked import Program

STUDY = """
from omnivl.commands.study.describe import Measure, Stage, Study

first = Stage({config!r})
study = Study(
    'Toys',
    arms=dict(
        quick=Stage({config!r}, {{'optim_wrapper.optimizer.lr': 0.1}}, start=first),
        slow=Stage({config!r}, {{'optim_wrapper.optimizer.lr': 0.01}}, start=first),
    ),
    measures=[Measure('toy.r1', 'mean'), Measure('toy.r5', 'fifty', higher_is_better=False)],
    seeds=(3, 4),
    pairs=[('quick', 'slow')],
)
"""


def write_study(folder, **changes):
    """Write the config and the study; returns the path of the study."""
    config = toys.toy_config('work', 'toy')
    del config['work_dir'], config['experiment_name']
    for loader in config['train_dataloader'].values():
        loader['num_workers'] = 0
    test_loader = dict(toys.loader('image', size=8), num_workers=0, sampler=dict(type='EpochSampler', shuffle=False))
    config |= dict(
        custom_imports=dict(imports=['toys'], allow_failed_imports=False),
        load_from=dict(type='ToyReader', file='none'),  # that of a model has been tested where it is
        default_scope='omnivl',
        runner_type='OmniVLRunner',
        param_scheduler=[dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=2)],
        test_dataloader=dict(toy=test_loader),
        test_evaluator=dict(toy=dict(type='ToyEvaluation')),
        test_cfg=dict(type='EvaluationLoop'),
        **changes,
    )
    config['train_cfg']['max_iters'] = 4
    (folder / 'toy.py').write_text(''.join(f'{key} = {value!r}\n' for key, value in config.items()))
    (folder / 'toys_study.py').write_text(STUDY.format(config=str(folder / 'toy.py')))
    return folder / 'toys_study.py'


def start_process(folder):
    """Stand in for that of ``omnivl.commands.study.runs``."""
    paths = os.pathsep.join([str(Path(toys.__file__).parent), os.environ.get('PYTHONPATH', '')])
    env = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': paths}
    return Program('-m', 'omnivl.commands.study.work', folder, env=env, output=folder / 'log.txt')
