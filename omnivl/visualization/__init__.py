"""Pictures of frames and of sound, contact sheets, attention maps, and what a validation shows of them."""

from .sounds import draw_waveforms

__all__ = ['draw_waveforms']
