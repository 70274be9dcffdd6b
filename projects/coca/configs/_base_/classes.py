"""What classifies: the image encoder of CoCa-Base, one more pooler with a single query, and a head."""

from mmengine.config import read_base

from omnivl.models import VisualTrunk
from projects.coca.model import CoCaClassifier

with read_base():
    from .finetune import *
    from .models.coca_base import *

model = dict(
    type=CoCaClassifier,
    trunk=dict(type=VisualTrunk, visual_encoder=trunk.visual_encoder),
    frozen=False,
    num_heads=12,
    num_classes=1000,
)
optim_wrapper.optimizer.lr = 1e-4
param_scheduler[1].T_max = 20
