"""Demo: a tiny VATT on the clips of the demo corpus, with their sound where they have one, and their captions.

After pretrain_bbs.py for a CPU core: 1500 steps of 16 clips of 8 frames. Data: 2800 captioned clips. The learning rate
is that of the demo, as are words and crops: no flip, since 'left' has to stay true. On a corpus without sound, of which
the mask tells, video and text alone are trained.
"""

from mmengine.config import read_base
from mmengine.optim import LinearLR
from torch.optim import AdamW

from omnivl.datasets.samplers import EpochSampler
from omnivl.datasets.transforms import LoadAudio, LoadSoundtrack
from omnivl.engine import AlternatingTrainLoop, DecayGroupsConstructor, EvaluationLoop, PrecisionOptimWrapper
from omnivl.evaluation import PairRetrievalEvaluation, RetrievalEvaluation, ZeroShotEvaluation
from projects.vatt.data import CandidateDataset

with read_base():
    from ....configs._base_.runtime import *
    from ...demo.configs._base_.datasets.pretrain import *
    from ...demo.configs._base_.pipelines.pixels_64 import *
    from ._base_.models.vatt_tiny import *

clip = dict(type=LoadVideo, num_frames=8)
texts = [dict(type=CleanCaption, max_words=30), dict(type=TokenizeText, max_length=32)]
both = dict(type=PackSample, beside=['audio'])
sound = dict(seconds=2.0, rate=8000)
soundtrack = dict(type=LoadSoundtrack, **sound)
train_pipeline = [dict(clip, random=True), soundtrack, *resize, *augment, *texts, both]
test_pipeline = [clip, soundtrack, *resize, *texts, both]
audio_test_pipeline = [dict(type=LoadAudio, **sound), dict(type=PackSample)]

train_dataloader = dict(
    video=dict(
        batch_size=16,
        num_workers=1,
        sampler=dict(type=EpochSampler),
        dataset=dict(video_text_train, type=CandidateDataset, pipeline=train_pipeline),
    )
)
max_iters, warmup = 1500, 30
train_cfg = dict(type=AlternatingTrainLoop, max_iters=max_iters)
optim_wrapper = dict(
    type=PrecisionOptimWrapper,
    constructor=DecayGroupsConstructor,
    optimizer=dict(type=AdamW, lr=1e-3, betas=(0.9, 0.98), weight_decay=0.05, fused=True),
    clip_grad=dict(max_norm=1.0),
)
param_scheduler = [
    dict(type=LinearLR, start_factor=0.01, by_epoch=False, end=warmup),
    dict(type=LinearLR, start_factor=1.0, end_factor=0.0, by_epoch=False, begin=max_iters // 2, end=max_iters),
]
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=max_iters, max_keep_ckpts=1))

video_loader = dict(batch_size=25, num_workers=0, sampler=dict(type=EpochSampler, shuffle=False))
test_dataloader = {
    'video.audio': dict(video_loader, dataset=dict(video_text['test'], pipeline=test_pipeline)),
    'video.retrieval': dict(video_loader, dataset=dict(video_text['test'], pipeline=test_pipeline)),
    'video.zero_shot': dict(video_loader, dataset=dict(video_label['test'], pipeline=test_pipeline)),
}
test_evaluator = {
    'video.audio': dict(type=PairRetrievalEvaluation, first='video', second='audio'),
    'video.retrieval': dict(type=RetrievalEvaluation, rerank_k=None),
    'video.zero_shot': dict(type=ZeroShotEvaluation, templates=video_templates),
}
test_cfg = dict(type=EvaluationLoop)
