from .base import Generator, Prompt, Said, Sample
from .omnivl_answers import OmniVLAnswers
from .video_language import VideoLanguageModel

__all__ = ['Generator', 'OmniVLAnswers', 'Prompt', 'Said', 'Sample', 'VideoLanguageModel']
