"""CLIP's byte pairs (2103.00020), read by transformers."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from omnivl.errors import OmniVLFileNotFoundError, OmniVLValueError
from omnivl.registry import TOKENIZERS

from .text import DECODER_TOKEN, ENCODER_TOKEN, TextTokenizer, Vocabulary

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

FILES = ('vocab.json', 'merges.txt')
START_TOKEN, END_TOKEN = '<|startoftext|>', '<|endoftext|>'
CLIP_FILES = 'https://huggingface.co/openai/clip-vit-base-patch32/resolve/main'


@TOKENIZERS.register_module()
class BytePairTokenizer(TextTokenizer):
    """CLIP's tokenizer: lower-case byte pairs, 49,408 ids; its start token is [CLS], its end token [SEP].

    Writing starts with the start token, too, and there is no token for unknown words: every byte has one. Texts are
    padded with 0, as open_clip does, which is also the id of an exclamation mark that goes on.

    Args:
        vocab_folder: A folder with ``vocab.json`` and ``merges.txt``, those of any CLIP of transformers.
    """

    def __init__(self, vocab_folder: str | Path) -> None:
        self.vocab_folder = str(vocab_folder)

    def read(self) -> Vocabulary:
        """See ``TextTokenizer.read``."""
        tokenizer = self._read_pretrained()
        pipeline = tokenizer.backend_tokenizer
        pipeline.encode_special_tokens = True
        names = pipeline.get_vocab(with_added_tokens=False)
        missing = [token for token in (START_TOKEN, END_TOKEN) if token not in names]
        if missing:
            raise OmniVLValueError(f'{self.vocab_folder}/vocab.json is no vocabulary of CLIP: it has no {missing}')
        start, end = names[START_TOKEN], names[END_TOKEN]
        ids = {'[PAD]': 0, '[UNK]': -1, '[CLS]': start, '[SEP]': end, DECODER_TOKEN: start, ENCODER_TOKEN: start}
        return Vocabulary(pipeline, ids, max(names.values()) + 1)

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """See ``TextTokenizer.decode``; 0, which is no padding inside of a text, is kept."""
        rows = [int(token) for token in ids]
        rows = rows[1:] if rows[:1] == [self.cls_id] else rows
        rows = rows[: rows.index(self.sep_id)] if self.sep_id in rows else rows
        return self.vocabulary.pipeline.decode(rows, skip_special_tokens=False)

    def definition(self) -> bytes:
        """See ``TextTokenizer.definition``."""
        return b''.join((Path(self.vocab_folder) / name).read_bytes() for name in FILES)

    def save(self, folder: Path) -> None:
        """See ``TextTokenizer.save``."""
        for name in FILES:
            shutil.copyfile(Path(self.vocab_folder) / name, folder / name)

    def _read_pretrained(self) -> 'PreTrainedTokenizerFast':
        # Up to version 4 the name without Fast is another class; from 5 on both are one, which its types do not say.
        from transformers import CLIPTokenizerFast  # type: ignore[attr-defined]

        missing = [name for name in FILES if not (Path(self.vocab_folder) / name).is_file()]
        if missing:
            raise OmniVLFileNotFoundError(
                f'no {" and ".join(missing)} in {self.vocab_folder}: get them with "for f in {" ".join(FILES)}; do '
                f'curl --create-dirs -Lo {self.vocab_folder}/$f {CLIP_FILES}/$f; done"'
            )
        return CLIPTokenizerFast.from_pretrained(self.vocab_folder, local_files_only=True)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(vocab_folder={self.vocab_folder!r})'
