"""The video encoder of VATT-MBS finetuned on Kinetics-400. Published: 81.1, top-1.

All else: ``_base_/action_kinetics400.py``, the published settings. Starts from pretrain_mbs.py, or
from the published weights: ``load_from=dict(type=VATTReader, file='.../ckpt-500000.index')``.
"""

from mmengine.config import read_base

from omnivl.weights import StageReader

with read_base():
    from ._base_.action_kinetics400 import *
    from ._base_.models.vatt_mbs import *

model = dict(action_model, trunk=dict(type=VisualTrunk, visual_encoder=trunk.visual_encoder))
load_from = dict(type=StageReader, file='work_dirs/vatt_pretrain_mbs')
