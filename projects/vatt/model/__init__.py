from ..losses import VideoAudioNCE, VideoTextNCE
from .bridge import CrossReplicaBatchNorm, FACBridge
from .encoders import VATTAudioEncoder, VATTTextEncoder, VATTVideoEncoder
from .sounds import RareClassesLoss, VATTAudioClassifier
from .t5 import VATTT5Encoder
from .tasks import VATTPretrain
from .trunk import VATT

__all__ = [
    'VATT',
    'CrossReplicaBatchNorm',
    'FACBridge',
    'RareClassesLoss',
    'VATTAudioClassifier',
    'VATTAudioEncoder',
    'VATTPretrain',
    'VATTT5Encoder',
    'VATTTextEncoder',
    'VATTVideoEncoder',
    'VideoAudioNCE',
    'VideoTextNCE',
]
