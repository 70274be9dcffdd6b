"""Study: a linear probe on frozen features, shapes of lone pictures of the pretraining corpus.

As projects/demo/configs/linear_probe.py, which has a corpus of its own.
"""

from mmengine.config import read_base

from omnivl.evaluation import LinearProbeEvaluation

with read_base():
    from ....configs._base_.runtime import *
    from ...demo.configs._base_.datasets.pretrain import *
    from ...demo.configs._base_.models.omnivl_tiny import *
    from ...demo.configs._base_.pipelines.pixels_64 import *
    from ...demo.configs._base_.schedules.test import *

pipeline = image_label_test_pipeline
loaders = {
    'train': dict(test_loader, dataset=dict(image_label_train, templates=None, pipeline=pipeline)),
    'val': dict(test_loader, dataset=dict(image_label['val'], templates=None, pipeline=pipeline)),
    'test': dict(test_loader, dataset=dict(image_label['test'], templates=None, pipeline=pipeline)),
}
test_dataloader = {'image.probe': loaders['test']}
test_evaluator = {'image.probe': dict(type=LinearProbeEvaluation, train=loaders['train'], val=loaders['val'])}
