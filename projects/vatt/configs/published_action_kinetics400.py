"""The published video encoder of VATT-MBS that was finetuned on Kinetics-400, tested. Published: 81.1, top-1.

Views: 4 clips x 3 crops; batch of 4 videos on each GPU. For those of other sizes take the model of
action_kinetics400_base.py, _large.py or _shared_medium.py, and the folders vit_base and vit_large.
The classes of the file are in the order of its training set, which is taken to be the alphabet's.
"""

from mmengine.config import read_base

from projects.vatt.weights import VATTReader

with read_base():
    from .action_kinetics400_medium import *

load_from = dict(
    type=VATTReader,
    file='data/vatt/finetune/vit_medium/k400_modality_specific_pretrain/ckpt-100000.index',
)
train_dataloader = train_cfg = optim_wrapper = param_scheduler = None
val_dataloader = val_evaluator = val_cfg = None
