"""Study: a linear probe on frozen features, motions of clips of the pretraining corpus.

Motions come in pairs that are the same frames in the opposite order, so features of single frames reach half at most.
"""

from mmengine.config import read_base

from omnivl.evaluation import LinearProbeEvaluation

with read_base():
    from ....configs._base_.runtime import *
    from ...demo.configs._base_.datasets.pretrain import *
    from ...demo.configs._base_.models.omnivl_tiny import *
    from ...demo.configs._base_.pipelines.pixels_64 import *
    from ...demo.configs._base_.schedules.test import *

pipeline = video_label_test_pipeline
loaders = {
    'train': dict(test_loader, dataset=dict(video_label_train, templates=None, pipeline=pipeline)),
    'val': dict(test_loader, dataset=dict(video_label['val'], templates=None, pipeline=pipeline)),
    'test': dict(test_loader, dataset=dict(video_label['test'], templates=None, pipeline=pipeline)),
}
test_dataloader = {'video.probe': loaders['test']}
test_evaluator = {'video.probe': dict(type=LinearProbeEvaluation, train=loaders['train'], val=loaders['val'])}
