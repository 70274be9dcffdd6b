"""Demo: a linear probe on the frozen features of the joint stage, 20 classes of coloured shapes.

After configs/omnivl/probe_imagenet.py. Nothing is trained but the probe, in the evaluation itself:
python tools/test.py projects/demo/configs/linear_probe.py CHECKPOINT
"""

from mmengine.config import read_base

from omnivl.evaluation import LinearProbeEvaluation

with read_base():
    from ....configs._base_.runtime import *
    from ._base_.datasets.tasks import *
    from ._base_.models.omnivl_tiny import *
    from ._base_.pipelines.pixels_64 import *
    from ._base_.schedules.test import *


probe = dict(
    type=LinearProbeEvaluation,
    train=dict(test_loader, dataset=dict(things['train'], pipeline=image_label_test_pipeline)),
    val=dict(test_loader, dataset=dict(things['val'], pipeline=image_label_test_pipeline)),
)
test_dataloader = {'image.probe': dict(test_loader, dataset=dict(things['test'], pipeline=image_label_test_pipeline))}
test_evaluator = {'image.probe': probe}
