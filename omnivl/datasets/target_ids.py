"""Which samples are positives of each other in UniVLC: those with the same target id.

Ids are hashes of what is shown, so they need no table, no offsets per source and no agreement between processes:
identical captions of different images meet, and so do images of one class, while an image class never meets a video
class. With 63 bits two of 20 million targets collide with a probability of 2e-5.
"""

import hashlib
import re

# The marks that BLIP's caption cleaning takes away, and the apostrophes of quotations.
_MARKS = re.compile(r'[.!?"()*#:;~,\'\-/\s]+')


def normalise_caption(text: str) -> str:
    """Lower case, without punctuation and without doubled spaces; the text itself when nothing else is in it."""
    return _MARKS.sub(' ', text.lower()).strip() or text


def caption_target_id(text: str) -> int:
    """Make the target id of a caption, in [0, 2**63); case, punctuation and spacing make no difference."""
    return _hash('caption', normalise_caption(text))


def visual_target_id(path: str, clip: tuple[float, float] | None = None) -> int:
    """Make the target id of a visual or of a part of it, in [0, 2**63), the same for all its captions."""
    return _hash('visual', path, *map(str, clip or ()))


def class_target_id(label_space: str, class_name: str) -> int:
    """Make the target id of a class, in [0, 2**63); equal names of different label spaces are different classes."""
    return _hash('class', label_space, class_name)


def _hash(*parts: str) -> int:
    # Every part is preceded by its length: ('a', 'bc') and ('ab', 'c') must differ.
    message = ''.join(f'{len(part)}:{part}' for part in parts).encode()
    return int.from_bytes(hashlib.blake2b(message, digest_size=8).digest(), 'big') >> 1
