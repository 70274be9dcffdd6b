"""Demo: questions about videos, finetuned from the joint stage.

Twin of configs/omnivl/msrvtt_qa.py for two CPU cores. Data: 5600 questions in MSRVTT-QA's form. Batch 16 x 1 process.
"""

from mmengine.config import read_base

with read_base():
    from .vqa import *

max_iters = 500

train_dataloader = dict(
    video=dict(
        batch_size=16,
        num_workers=1,
        sampler=dict(type=EpochSampler),
        dataset=dict(video_qa['train'], pipeline=video_pipeline),
    )
)
train_cfg = dict(type=AlternatingTrainLoop, max_iters=max_iters)
optim_wrapper.optimizer.lr = 5e-4
param_scheduler = [
    dict(type=LinearLR, start_factor=0.01, by_epoch=False, end=warmup),
    dict(type=LinearLR, start_factor=1.0, end_factor=0.01, by_epoch=False, begin=warmup, end=max_iters),
]

# The first two words tell what a question is about: 'what is' asks for the motion.
evaluation = dict(
    type=QAEvaluation,
    protocol='exact',
    answer_list=video_answers,
    methods=('rank', 'generate'),
    max_length=4,
    type_words=2,
)
val_dataloader = {'video.qa': dict(loader, dataset=dict(video_qa['val'], pipeline=video_test_pipeline))}
val_evaluator = {'video.qa': evaluation}
test_dataloader = {'video.qa': dict(loader, dataset=dict(video_qa['test'], pipeline=video_test_pipeline))}
test_evaluator = {'video.qa': evaluation}
