"""BLIP's weights finetuned on COCO captions, Karpathy's split, without any pretraining of ours.

BLIP's result: CIDEr 133.3, BLEU-4 39.7 (2201.12086).
Start: BLIP's pretraining, as its authors' .pth. BLIP's values (configs/caption_coco.yaml and
train_caption.py of its code): 384 pixels, the prompt, learning rate 1e-5, weight decay 0.05, batch 256 = 8 GPUs x 32, 5
epochs, cosine decay to 0 epoch by epoch, 3 beams ranked by lengths='blip' (those of its
transformers 4.15), 5 to 20 word pieces with the prompt. Differs from BLIP: biases and
norms are not decayed.
Data and test are those of configs/omnivl/caption_coco.py.
"""

from mmengine.config import read_base
from mmengine.optim import CosineAnnealingLR

from omnivl.weights import BLIPReader

with read_base():
    from .caption_coco import *

train_cfg.max_epochs = 5
param_scheduler = [dict(type=CosineAnnealingLR, by_epoch=True, T_max=5, eta_min=0.0)]
load_from = dict(type=BLIPReader, file='data/weights/blip_base.pth')
