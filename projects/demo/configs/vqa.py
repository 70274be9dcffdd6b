"""Demo: questions about images, finetuned from the joint stage.

After configs/omnivl/vqa_v2.py for two CPU cores. Data: 12000 questions in VQAv2's form. Batch 32 x 1 process.
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
train_dataloader = dict(
    image=dict(train_loader, batch_size=32, dataset=dict(image_qa['train'], pipeline=image_pipeline))
)
train_cfg.max_iters = param_scheduler[1].end = 900
optim_wrapper.optimizer.lr = 1e-3

evaluation = dict(
    type=QAEvaluation, protocol='vqav2', answer_list=image_answers, methods=('rank', 'generate'), max_length=4
)
val_dataloader = {'image.qa': dict(test_loader, dataset=dict(image_qa['val'], pipeline=image_test_pipeline))}
val_evaluator = {'image.qa': evaluation}
test_dataloader = {'image.qa': dict(test_loader, dataset=dict(image_qa['test'], pipeline=image_test_pipeline))}
test_evaluator = {'image.qa': evaluation}
