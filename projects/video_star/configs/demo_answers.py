"""Demo: a model that answers questions about clips in sentences, tuned on what a cycle keeps.

After projects/demo/configs/video_qa.py, from the image stage of the quickstart, which knows no clips. The cycle
replaces the data and the weights; run by itself this trains the model that the cycle begins with, on ``seed.json`` of
``projects/video_star/demo_questions.py``. Batch 16 x 1 process.
"""

from mmengine.config import read_base

from omnivl.datasets import QADataset
from omnivl.datasets.annotations import VideoQAList
from omnivl.evaluation import QAEvaluation
from omnivl.models import OmniVLQA
from omnivl.weights import StageReader

with read_base():
    from ....configs._base_.runtime import *
    from ...demo.configs._base_.datasets.qa import *
    from ...demo.configs._base_.models.omnivl_tiny import *
    from ...demo.configs._base_.schedules.finetune import *

questions_root = __import__('os').environ.get('OMNIVL_STAR_QUESTIONS', 'data/demo_star')
reader = dict(type=VideoQAList, visual_root=f'{data_root}/videos')

model = dict(type=OmniVLQA, trunk=trunk, label_smoothing=0.0)
seed_questions = dict(
    type=QADataset, name='star_seed', annotations=dict(reader, ann_file=f'{questions_root}/seed.json')
)
train_dataloader = dict(video=dict(train_loader, dataset=dict(seed_questions, pipeline=video_pipeline)))
train_cfg.max_iters = param_scheduler[1].end = 600
param_scheduler[0].end = param_scheduler[1].begin = 60
load_from = dict(type=StageReader, file=f'{demo_work_dir}/stage1', start_video_from_image=True)

held_out = dict(
    type=QADataset, name='star_held_out', annotations=dict(reader, ann_file=f'{questions_root}/held_out.json')
)
test_dataloader = {'video.qa': dict(test_loader, dataset=dict(held_out, pipeline=video_test_pipeline))}
test_evaluator = {'video.qa': dict(type=QAEvaluation, protocol='exact', methods=('generate',), max_length=24)}
