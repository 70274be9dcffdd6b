from .checkpoints import WholeCheckpointHook
from .config import ConfigError, apply_options, check_config, check_schedule, read_config
from .evaluation_loop import EvaluationLoop
from .hooks import ProgressLineHook, StepTimerHook, TrainingMonitorHook
from .log_processor import OmniVLLogProcessor
from .loops import AlternatingTrainLoop
from .optim import DecayGroupsConstructor, PrecisionOptimWrapper
from .runner import OmniVLRunner
from .story import StoryHook
from .streams import Stream
from .tracking import CurveVisualizer

__all__ = [
    'AlternatingTrainLoop',
    'ConfigError',
    'CurveVisualizer',
    'DecayGroupsConstructor',
    'EvaluationLoop',
    'OmniVLLogProcessor',
    'OmniVLRunner',
    'PrecisionOptimWrapper',
    'ProgressLineHook',
    'StepTimerHook',
    'StoryHook',
    'Stream',
    'TrainingMonitorHook',
    'WholeCheckpointHook',
    'apply_options',
    'check_config',
    'check_schedule',
    'read_config',
]
