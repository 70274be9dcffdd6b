"""Demo: action recognition, finetuned from the joint stage on eight motions in Something-Something's form.

After configs/omnivl/action_ssv2.py for two CPU cores. Batch 16 x 1 process. No flip: left has to stay left.
The second test shuffles the frames: the actions come in pairs that are the same frames in the opposite order, so that
nobody can be right in more than half of the cases then.
"""

from mmengine.config import read_base

from omnivl.models import OmniVLClassifier

with read_base():
    from ....configs._base_.runtime import *
    from ._base_.datasets.tasks import *
    from ._base_.models.omnivl_tiny import *
    from ._base_.pipelines.pixels_64 import *
    from ._base_.schedules.finetune import *

model = dict(type=OmniVLClassifier, trunk=trunk, num_classes=8)
train_dataloader = dict(video=dict(train_loader, dataset=dict(ssv2['train'], pipeline=video_label_pipeline)))
train_cfg.max_iters = param_scheduler[1].end = 180

val_dataloader = {
    'video.classification': dict(test_loader, dataset=dict(ssv2['val'], pipeline=video_label_test_pipeline))
}
val_evaluator = {'video.classification': classification}
test_dataloader = {
    'video.classification': dict(test_loader, dataset=dict(ssv2['test'], pipeline=video_label_test_pipeline)),
    'video.classification_shuffled': dict(
        test_loader, dataset=dict(ssv2['test'], pipeline=video_label_shuffled_pipeline)
    ),
}
test_evaluator = {'video.classification': classification, 'video.classification_shuffled': classification}
