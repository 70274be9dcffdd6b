"""Pretraining on HowTo100M's narrated clips and AudioSet's clips without text, the published settings.

Adam with betas 0.9 and 0.999 and epsilon 1e-7; learning rate from 0 to 1e-4 in 5000 steps (the published config; the
paper says 10,000), then a cosine to 5e-5 at step 500,000; half of the tokens of video and sound dropped; noise of 0.01
in the sound. Batch: 2048 = 64 GPUs x 32 clips. On R GPUs set train_dataloader.video.batch_size to 2048 / R; the
contrast sees the batch of all GPUs, so accumulating is not the same.
Ours: clips of both sets are in a batch as they are many. Gradients are not clipped, as published.
"""

from mmengine.config import read_base
from mmengine.optim import CosineAnnealingLR, LinearLR
from torch.optim import Adam

from omnivl.datasets import MixedDataset
from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import AlternatingTrainLoop, EvaluationLoop, PrecisionOptimWrapper
from omnivl.evaluation import RetrievalEvaluation

with read_base():
    from .....configs._base_.datasets.msrvtt import *
    from .clips import *
    from .pixels_224 import *

train_dataloader = dict(
    video=dict(
        batch_size=32,
        num_workers=12,
        pin_memory=True,
        sampler=dict(type=EpochSampler),
        dataset=dict(
            type=MixedDataset,
            datasets=[
                dict(howto100m_train, pipeline=video_and_sound_pipeline),
                dict(audioset_train, pipeline=video_and_sound_pipeline),
            ],
        ),
    )
)
train_cfg = dict(type=AlternatingTrainLoop, max_iters=500000, val_interval=50000)
optim_wrapper = dict(
    type=PrecisionOptimWrapper,
    precision='bf16',
    optimizer=dict(type=Adam, lr=1e-4, betas=(0.9, 0.999), eps=1e-7),
)
param_scheduler = [
    dict(type=LinearLR, start_factor=2e-4, by_epoch=False, end=5000),
    dict(type=CosineAnnealingLR, by_epoch=False, begin=5000, T_max=495000, eta_min=5e-5),
]
loader = dict(batch_size=8, num_workers=8, sampler=dict(type=EpochSampler, shuffle=False))
val_dataloader = {'msrvtt.retrieval': dict(loader, dataset=dict(msrvtt_test_1ka, pipeline=video_test_pipeline))}
val_evaluator = {'msrvtt.retrieval': dict(type=RetrievalEvaluation, rerank_k=None, duplicate_captions='keep')}
test_dataloader, test_evaluator = val_dataloader, val_evaluator
val_cfg = test_cfg = dict(type=EvaluationLoop, amp='bf16')
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=10000, max_keep_ckpts=5))
