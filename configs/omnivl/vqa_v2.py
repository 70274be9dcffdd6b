"""OmniVL finetuned on VQAv2. The paper's result: 78.3 on test-dev (2209.07526).

Data: train, val and Visual Genome's questions, as BLIP trains for the test server. For a figure of one's own take
vqa_v2_val out of the training, and test on it: then its accuracy is printed, over all and by type of answer.
Batch: 256 = 16 GPUs x 16. On R GPUs set train_dataloader.image.batch_size = 256 / R, or accumulate.
The paper's (supplement, table 1): AdamW, learning rate 2e-5, weight decay 0.05, linear decay, batch 256, 10 epochs;
384 pixels (section 4). BLIP's: augmentation (but no mirrored pictures), label smoothing 0.1, weights of the answers,
ranking of the 128 answers with the likeliest first word piece; and that the decay ends at 0, without warm-up.
Start: the joint stage. Test: the server has the answers; omnivl test --submit writes the file that it takes.
"""

from mmengine.config import read_base

from omnivl.datasets import MixedDataset
from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import AlternatingTrainLoop, EvaluationLoop
from omnivl.evaluation import QAEvaluation
from omnivl.models import OmniVLQA

with read_base():
    from .._base_.datasets.vqa_v2 import *
    from .._base_.models.omnivl_base import *
    from .._base_.pipelines.qa_384 import *
    from .._base_.runtime import *
    from .._base_.schedules.finetune import *

trunk.visual_encoder.image_size = 384
model = dict(type=OmniVLQA, trunk=trunk, label_smoothing=0.1)
train_dataloader = dict(
    image=dict(
        batch_size=16,
        num_workers=8,
        pin_memory=True,
        sampler=dict(type=EpochSampler),
        dataset=dict(
            type=MixedDataset,
            datasets=[
                dict(vqa_v2_train, pipeline=image_pipeline),
                dict(vqa_v2_val, pipeline=image_pipeline),
                dict(visual_genome_qa, pipeline=image_pipeline),
            ],
        ),
    )
)
train_cfg = dict(type=AlternatingTrainLoop, max_epochs=10, epoch_by='image')
optim_wrapper.optimizer.lr = 2e-5

test_dataloader = {
    'image.qa': dict(
        batch_size=32,
        num_workers=8,
        sampler=dict(type=EpochSampler, shuffle=False),
        dataset=dict(vqa_v2_test_dev, pipeline=image_test_pipeline),
    )
}
test_evaluator = {
    'image.qa': dict(
        type=QAEvaluation,
        protocol='vqav2',
        answer_list=vqa_v2_answers,
        k=128,
    )
}
