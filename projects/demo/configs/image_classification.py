"""Demo: image classification, finetuned from the joint stage on 20 classes of coloured shapes.

After configs/omnivl/classify_imagenet.py for two CPU cores. Batch 32 x 1 process.
"""

from mmengine.config import read_base

from omnivl.models import OmniVLClassifier

with read_base():
    from ....configs._base_.runtime import *
    from ._base_.datasets.tasks import *
    from ._base_.models.omnivl_tiny import *
    from ._base_.pipelines.pixels_64 import *
    from ._base_.schedules.finetune import *

model = dict(type=OmniVLClassifier, trunk=trunk, num_classes=20)
train_dataloader = dict(
    image=dict(train_loader, batch_size=32, dataset=dict(things['train'], pipeline=image_label_pipeline))
)
train_cfg.max_iters = param_scheduler[1].end = 200

val_dataloader = {
    'image.classification': dict(test_loader, dataset=dict(things['val'], pipeline=image_label_test_pipeline))
}
val_evaluator = {'image.classification': classification}
test_dataloader = {
    'image.classification': dict(test_loader, dataset=dict(things['test'], pipeline=image_label_test_pipeline))
}
test_evaluator = {'image.classification': classification}
