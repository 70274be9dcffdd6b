"""Demo: questions about videos, finetuned from the joint stage.

After configs/omnivl/msrvtt_qa.py for two CPU cores. Data: 5600 questions in MSRVTT-QA's form. Batch 16 x 1 process.
The second test shuffles the frames: 'what is ... doing?' asks for a motion, which then cannot be told any more.
"""

from mmengine.config import read_base

from omnivl.evaluation import QAEvaluation
from omnivl.models import OmniVLQA

with read_base():
    from ....configs._base_.runtime import *
    from ._base_.datasets.qa import *
    from ._base_.models.omnivl_tiny import *
    from ._base_.schedules.finetune import *

model = dict(type=OmniVLQA, trunk=trunk, label_smoothing=0.0)
train_dataloader = dict(video=dict(train_loader, dataset=dict(video_qa['train'], pipeline=video_pipeline)))
train_cfg.max_iters = param_scheduler[1].end = 320

# The first two words tell what a question is about: 'what is' asks for the motion.
evaluation = dict(
    type=QAEvaluation,
    protocol='exact',
    answer_list=video_answers,
    methods=('rank', 'generate'),
    max_length=4,
    type_words=2,
)
val_dataloader = {'video.qa': dict(test_loader, dataset=dict(video_qa['val'], pipeline=video_test_pipeline))}
val_evaluator = {'video.qa': evaluation}
test_dataloader = {
    'video.qa': dict(test_loader, dataset=dict(video_qa['test'], pipeline=video_test_pipeline)),
    'video.qa_shuffled': dict(test_loader, dataset=dict(video_qa['test'], pipeline=video_shuffled_pipeline)),
}
test_evaluator = {'video.qa': evaluation, 'video.qa_shuffled': evaluation}
