"""An audio encoder of VATT finetuned on AudioSet; the encoder and where it starts are said by who uses this.

As published: SGD of momentum 0.9, learning rate 0.005 after 2500 steps of warm-up, then a cosine; gradients of norm
0.75 at most; 6.4 s at 24 kHz, which have as many patches as 3.2 s at 48 kHz; sounds mixed in pairs by shares of
Beta(5, 5); rare classes count more. 50,000 steps, those of the published checkpoint. Batch: 256 = 8 GPUs x 32, ours.
Test: the middle 6.4 s of each sound. Needs sounds cut to their segments.
"""

from mmengine.config import read_base
from mmengine.optim import CosineAnnealingLR, LinearLR
from torch.optim import SGD

from omnivl.datasets import MultiLabelDataset
from omnivl.datasets.annotations import AudioSetCSV
from omnivl.datasets.samplers import EpochSampler
from omnivl.datasets.transforms import LoadAudio, PackSample
from omnivl.engine import AlternatingTrainLoop, EvaluationLoop, PrecisionOptimWrapper
from omnivl.evaluation import MultiLabelEvaluation
from projects.vatt.model import VATTAudioClassifier

with read_base():
    from .....configs._base_.runtime import *

audio_model = dict(type=VATTAudioClassifier, num_classes=527, multi_label=True, mixup=5.0)
load = dict(type=LoadAudio, seconds=6.4, rate=24000)
audioset = dict(type=AudioSetCSV, classes_file='data/audioset/class_labels_indices.csv')
audioset_train = dict(
    type=MultiLabelDataset,
    name='audioset_train',
    annotations=dict(
        audioset, ann_file='data/audioset/unbalanced_train_segments.csv', visual_root='data/audioset/train'
    ),
    pipeline=[dict(load, random=True), dict(type=PackSample)],
    broken='replace',
    max_broken_share=0.05,
)
audioset_test = dict(
    type=MultiLabelDataset,
    name='audioset_test',
    annotations=dict(audioset, ann_file='data/audioset/eval_segments.csv', visual_root='data/audioset/eval'),
    pipeline=[load, dict(type=PackSample)],
    broken='skip',
    max_broken_share=0.05,
)
train_dataloader = dict(
    audio=dict(batch_size=32, num_workers=12, pin_memory=True, sampler=dict(type=EpochSampler), dataset=audioset_train)
)
train_cfg = dict(type=AlternatingTrainLoop, max_iters=50000, val_interval=10000)
optim_wrapper = dict(
    type=PrecisionOptimWrapper,
    precision='bf16',
    optimizer=dict(type=SGD, lr=0.005, momentum=0.9),
    clip_grad=dict(max_norm=0.75),
)
param_scheduler = [
    dict(type=LinearLR, start_factor=1e-4, by_epoch=False, end=2500),
    dict(type=CosineAnnealingLR, by_epoch=False, begin=2500, T_max=47500, eta_min=0.0),
]
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=5000, max_keep_ckpts=10))
test_loader = dict(batch_size=32, num_workers=12, sampler=dict(type=EpochSampler, shuffle=False))
val_dataloader = test_dataloader = {'audioset.classes': dict(test_loader, dataset=audioset_test)}
val_evaluator = test_evaluator = {'audioset.classes': dict(type=MultiLabelEvaluation)}
val_cfg = test_cfg = dict(type=EvaluationLoop, amp='bf16')
