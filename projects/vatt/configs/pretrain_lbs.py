"""VATT-LBS on HowTo100M and AudioSet, the published settings: see ``_base_/pretrain.py``."""

from mmengine.config import read_base

with read_base():
    from ....configs._base_.runtime import *
    from ._base_.models.vatt_lbs import *
    from ._base_.pretrain import *
