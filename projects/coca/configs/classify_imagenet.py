"""CoCa-Base finetuned on ImageNet-1K. The paper's CoCa: 91.0, top-1.

Batch: 512 = 8 GPUs x 64. On R GPUs set train_dataloader.image.batch_size to 512 / R, or accumulate.
The paper's: learning rate 1e-4, a pooler with a single query on the tokens. Ours: 20 epochs, label smoothing, batch,
weight decay, augmentation. classify_imagenet_frozen.py leaves the encoder as it is.
"""

from mmengine.config import read_base

from omnivl.datasets.samplers import EpochSampler
from omnivl.engine import AlternatingTrainLoop
from omnivl.evaluation import ClassificationEvaluation

with read_base():
    from ....configs._base_.datasets.imagenet import *
    from ....configs._base_.runtime import *
    from ._base_.classes import *
    from ._base_.pixels_288 import *

model.update(num_classes=1000, label_smoothing=0.1)
train_dataloader = dict(
    image=dict(
        batch_size=64,
        num_workers=12,
        pin_memory=True,
        sampler=dict(type=EpochSampler),
        dataset=dict(imagenet_train, templates=None, pipeline=image_classes_pipeline),
    )
)
train_cfg = dict(type=AlternatingTrainLoop, max_epochs=20, epoch_by='image', val_interval=5)

loader = dict(batch_size=128, num_workers=12, sampler=dict(type=EpochSampler, shuffle=False))
val_dataloader = {
    'image.classification': dict(loader, dataset=dict(imagenet_test, pipeline=image_classes_test_pipeline))
}
val_evaluator = {'image.classification': dict(type=ClassificationEvaluation)}
val_cfg = test_cfg
test_dataloader, test_evaluator = val_dataloader, val_evaluator
