"""CoCa-Base finetuned on VQAv2, question and answer as one text. The paper's CoCa, which classifies: 82.3 on test-dev.

Batch: 128 = 8 GPUs x 16. On R GPUs set train_dataloader.image.batch_size to 128 / R, or accumulate.
Ours: learning rate, 10 epochs, batch; the paper's are of its classifier. Data, weights of the answers and the ranking
of the 128 answers with the likeliest first token are those of configs/omnivl/vqa_v2.py.
"""

from mmengine.config import read_base

from omnivl.datasets import MixedDataset
from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import AlternatingTrainLoop
from omnivl.evaluation import QAEvaluation
from projects.coca.model import CoCaQA

with read_base():
    from ....configs._base_.datasets.vqa_v2 import *
    from ....configs._base_.runtime import *
    from ._base_.finetune import *
    from ._base_.models.coca_base import *
    from ._base_.pixels_288 import *

model = dict(type=CoCaQA, trunk=trunk)
train_dataloader = dict(
    image=dict(
        batch_size=16,
        num_workers=8,
        pin_memory=True,
        sampler=dict(type=EpochSampler),
        dataset=dict(
            type=MixedDataset,
            datasets=[
                dict(vqa_v2_train, pipeline=image_qa_pipeline),
                dict(vqa_v2_val, pipeline=image_qa_pipeline),
                dict(visual_genome_qa, pipeline=image_qa_pipeline),
            ],
        ),
    )
)
train_cfg = dict(type=AlternatingTrainLoop, max_epochs=10, epoch_by='image')
optim_wrapper.optimizer.lr = 2e-5
param_scheduler[1].T_max = 10
test_dataloader = {
    'image.qa': dict(
        batch_size=32,
        num_workers=8,
        sampler=dict(type=EpochSampler, shuffle=False),
        dataset=dict(vqa_v2_test_dev, pipeline=image_qa_test_pipeline),
    )
}
test_evaluator = {'image.qa': dict(type=QAEvaluation, protocol='vqav2', answer_list=vqa_v2_answers, k=128)}
