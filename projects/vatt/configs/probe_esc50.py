"""Linear probe of VATT-MBS's audio encoder on ESC-50, tested on fold 1. Only tests.

The middle 3.2 s at 48 kHz of each sound of 5 s; logistic regression, its penalty chosen on a fifth of the training
sounds. A published figure is the mean over the five folds: set ``folds`` of both sets. Batch: 32 on each GPU.
"""

from mmengine.config import read_base

from omnivl.datasets import LabelDataset
from omnivl.datasets.annotations import ESC50CSV
from omnivl.datasets.samplers import EpochSampler
from omnivl.datasets.transforms import LoadAudio, PackSample
from omnivl.engine import EvaluationLoop
from omnivl.evaluation import LinearProbeEvaluation
from omnivl.weights import StageReader

with read_base():
    from ....configs._base_.runtime import *
    from ._base_.models.vatt_mbs import *

load_from = dict(type=StageReader, file='work_dirs/vatt_pretrain_mbs')
esc50 = dict(type=ESC50CSV, ann_file='data/esc50/meta/esc50.csv', visual_root='data/esc50/audio')
pipeline = [dict(type=LoadAudio, seconds=3.2, rate=48000), dict(type=PackSample)]
sets = {
    name: dict(type=LabelDataset, name=f'esc50_{name}', annotations=dict(esc50, folds=folds), pipeline=pipeline)
    for name, folds in dict(train=[2, 3, 4, 5], test=[1]).items()
}
loader = dict(batch_size=32, num_workers=8, sampler=dict(type=EpochSampler, shuffle=False))
test_dataloader = {'esc50.linear_probe': dict(loader, dataset=sets['test'])}
test_evaluator = {'esc50.linear_probe': dict(type=LinearProbeEvaluation, train=dict(loader, dataset=sets['train']))}
test_cfg = dict(type=EvaluationLoop, amp='bf16')
