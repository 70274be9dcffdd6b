"""The one table of modalities: what differs between them is asked here, and no other file names one in a string.

A project adds its own with :func:`register_modality`, and registers under its ``kind`` how such values are packed
(``PACKERS``), normalised (``NORMALIZERS``) and shown (``PICTURES``).
"""

import os
from dataclasses import dataclass

from omnivl.errors import OmniVLValueError

FRAMES = 'frames'  # the kind of pixels in clips; an image is a clip of one frame
WAVEFORM = 'waveform'  # the kind of sound: samples of one channel in [-1, 1]


@dataclass(frozen=True)
class Modality:
    """What the code asks of a modality.

    Attributes:
        name: Its name in configs, batches and predictions.
        plural: Its name in messages and headings.
        letter: What stands for it in the names of metrics, as ``v`` in ``t2v_r1``.
        suffixes: How names of its files end, in lower case, with the dot.
        loader: The transform that loads its files (registry ``TRANSFORMS``).
        tokenizer: What makes tokens of it where a config does not say (registry ``MODELS``).
        templates: The prompts that classes are put into where a config does not say, themselves or their name (see
            ``datasets/prompts.py``).
        kind: What its values are: the name of its entries in ``PACKERS``, ``NORMALIZERS`` and ``PICTURES``.
        has_time: Whether its values have time stamps, and models look for what changes between them.
    """

    name: str
    plural: str
    letter: str
    suffixes: tuple[str, ...]
    loader: str
    tokenizer: str
    templates: str | tuple[str, ...]
    kind: str = FRAMES
    has_time: bool = True


IMAGE = Modality(
    name='image',
    plural='images',
    letter='i',
    suffixes=('.jpg', '.jpeg', '.jfif', '.png', '.apng', '.gif', '.webp', '.bmp', '.tif', '.tiff', '.ppm', '.avif'),
    loader='LoadImage',
    tokenizer='ImageTokenizer',
    templates='clip_image',
    has_time=False,
)
VIDEO = Modality(
    name='video',
    plural='videos',
    letter='v',
    suffixes=('.mp4', '.m4v', '.mov', '.avi', '.mkv', '.webm', '.mpg', '.mpeg', '.ts', '.wmv', '.flv', '.3gp', '.ogv'),
    loader='LoadVideo',
    tokenizer='VideoTokenizer',
    templates='actionclip',
)
AUDIO = Modality(
    name='audio',
    plural='sounds',
    letter='a',
    suffixes=('.wav', '.flac', '.mp3', '.m4a', '.aac', '.oga', '.opus', '.ogg', '.mka', '.weba'),
    loader='LoadAudio',
    tokenizer='SpectrogramTokenizer',
    templates=('the sound of {}', 'a recording of {}', '{}'),
    kind=WAVEFORM,
    has_time=False,  # its values are evenly spaced, so time stamps would say nothing
)
MODALITIES: dict[str, Modality] = {modality.name: modality for modality in (IMAGE, VIDEO, AUDIO)}


def register_modality(modality: Modality) -> Modality:
    """Enter a further modality, whose name, letter and suffixes no other one has, into the table; return it."""
    for other in MODALITIES.values():
        shared = set(modality.suffixes) & set(other.suffixes)
        if modality != other and (modality.name == other.name or modality.letter == other.letter or shared):
            raise OmniVLValueError(
                f'modality {modality.name!r}: its name, its letter {modality.letter!r} or one of its suffixes is that '
                f'of {other.name!r}; each must be its own'
            )
    MODALITIES[modality.name] = modality
    return modality


def check_modality(name: str, owner: str, kind: str | None = None) -> str:
    """Return a name if a modality, of this ``kind``, has it; ``owner`` is whose argument it is, for the message."""
    allowed = tuple(other.name for other in MODALITIES.values() if kind in (None, other.kind))
    if name not in allowed:
        raise OmniVLValueError(f'{owner}: modality={name!r}; allowed are {allowed}')
    return name


def modality_of_path(path: str) -> str | None:
    """Tell the modality of a path or URL by its suffix, or None; of ``zip://a.jpg::https://...`` that of a.jpg."""
    suffix = suffix_of(path)
    return next((modality.name for modality in MODALITIES.values() if suffix in modality.suffixes), None)


def suffix_of(path: str) -> str:
    """Return the suffix of a path or URL, in lower case, with the dot."""
    name = path.split('::')[0]
    if '://' in name:
        name = name.split('?')[0].split('#')[0]
    return os.path.splitext(name)[1].lower()
