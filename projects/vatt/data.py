"""Texts for VATT: words, the sentences said around a clip, and several candidates of them in a batch."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from typing_extensions import Unpack

from omnivl.datasets.annotations import AnnotationReader, Record
from omnivl.datasets.base import DatasetOptions, VisualDataset
from omnivl.errors import OmniVLFileNotFoundError, OmniVLValueError
from omnivl.models import VLDataPreprocessor
from omnivl.models.data_preprocessor import pad_text
from omnivl.models.tokenizers.text import DECODER_TOKEN, ENCODER_TOKEN, TextTokenizer, Vocabulary
from omnivl.registry import DATASETS, MODELS, TOKENIZERS

EMPTY = np.zeros(0, dtype=np.int64)
PUNCTUATION = r'[!-/:-@\[-`{-~]'  # of ASCII
PAD, BOS, EOS, UNK = '<pad>', '<bos>', '<eos>', '<unk>'


@TOKENIZERS.register_module()
class WordTokenizer(TextTokenizer):
    """Lower-case words without punctuation, looked up as they are; a text is its words alone, without [CLS] and [SEP].

    Args:
        vocab_file: One word per line, or its number and the word, with ``<pad>`` (which is 0), ``<bos>``, ``<eos>`` and
            ``<unk>`` among them: the form of the published word2vec vocabulary of HowTo100M.
    """

    def __init__(self, vocab_file: str | Path) -> None:
        self.vocab_file = str(vocab_file)

    def read(self) -> Vocabulary:
        """See ``TextTokenizer.read``."""
        if not Path(self.vocab_file).is_file():
            raise OmniVLFileNotFoundError(
                f'no vocabulary {self.vocab_file} (model.trunk.tokenizer.vocab_file); see projects/vatt/README.md'
            )
        rows = [line.split() for line in Path(self.vocab_file).read_text(encoding='utf-8').splitlines()]
        if wrong := next((number for number, row in enumerate(rows, 1) if len(row) not in (1, 2)), None):
            raise OmniVLValueError(f'{self.vocab_file}, line {wrong}: expected a word, or a number and a word')
        words = {row[-1]: int(row[0]) if len(row) == 2 else number for number, row in enumerate(rows)}
        if (missing := {PAD, BOS, EOS, UNK} - words.keys()) or words[PAD]:
            raise OmniVLValueError(
                f'{self.vocab_file} must have {PAD}, with number 0, {BOS}, {EOS} and {UNK}; missing: {sorted(missing)}'
            )
        pipeline = Tokenizer(models.WordLevel(words, unk_token=UNK))
        pipeline.normalizer = normalizers.Sequence(
            [normalizers.Replace(Regex(PUNCTUATION), ''), normalizers.Lowercase()]
        )
        pipeline.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        ids = {'[PAD]': words[PAD], '[UNK]': words[UNK], '[CLS]': words[BOS], '[SEP]': words[EOS]}
        ids |= {DECODER_TOKEN: words[BOS], ENCODER_TOKEN: words[BOS]}
        return Vocabulary(pipeline, ids, max(words.values()) + 1)

    def encode(self, text: str, max_length: int) -> np.ndarray:
        """Turn a text into the ids of its first words, int64 (L,) with L <= ``max_length``; none of an empty one."""
        return np.array(self.vocabulary.pipeline.encode(text).ids[:max_length], dtype=np.int64)

    def definition(self) -> bytes:
        """See ``TextTokenizer.definition``."""
        return Path(self.vocab_file).read_bytes()

    def save(self, folder: Path) -> None:
        """See ``TextTokenizer.save``."""
        shutil.copyfile(self.vocab_file, folder / 'vocab.txt')

    def __repr__(self) -> str:
        return f'{type(self).__name__}(vocab_file={self.vocab_file!r})'


@DATASETS.register_module()
class CandidateDataset(VisualDataset):
    """Parts of videos with all texts that may belong to them, or with none; in each epoch another moment of the part.

    ``results``: ``visual, modality, clip, captions, sample_id, source, rng``, the texts in the order of the reader: of
    a narrated video (``NarratedVideos``) first what is said, then what is said nearest to it. Speech and what it is
    about are seldom at the same time, so any of them may be the right one (MIL-NCE, 1912.06430, section 3.2).

    Args:
        annotations: See VisualDataset; a reader of any kind.
        pipeline: See VisualDataset.
        name: See VisualDataset.
        seconds: Length of the moment; None = the whole part.
        file_seconds: Length of files whose part is not told, as AudioSet's segments of 10 s; None = they are not cut.
        **options: See VisualDataset.
    """

    def __init__(
        self,
        annotations: dict | AnnotationReader,
        pipeline: Sequence[dict | Callable],
        name: str,
        seconds: float | None = None,
        file_seconds: float | None = None,
        **options: Unpack[DatasetOptions],
    ) -> None:
        for argument, value in dict(seconds=seconds, file_seconds=file_seconds).items():
            if value is not None and value <= 0:
                raise OmniVLValueError(f'CandidateDataset {name!r}: {argument} must be above 0 or None, got {value}')
        self.seconds, self.file_seconds = seconds, file_seconds
        super().__init__(annotations, pipeline, name, **options)

    def make_rows(self, records: Iterator[Record]) -> Iterable[tuple]:
        """One row per record."""
        for record in records:
            yield record.visual, record.clip, record.id, record.text

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Return a part of a video with its texts."""
        visual, clip, record_id, texts = self._full_rows()[index]
        if clip is None and self.file_seconds is not None:
            clip = (0.0, self.file_seconds)
        return self._base_info(visual, clip, f'{record_id}#{index}') | dict(captions=texts)

    def draw_text(self, info: dict[str, Any], rng: np.random.Generator) -> None:
        """Draw the moment, where the part is longer."""
        if self.seconds is not None and info['clip'] is not None:
            start, end = info['clip']
            if end - start > self.seconds:
                start += rng.random() * (end - start - self.seconds)
                info['clip'] = (start, start + self.seconds)


@MODELS.register_module()
class CandidatePreprocessor(VLDataPreprocessor):
    """Lay, in training, the candidate texts of all samples one after the other, as many for each.

    ``text_ids`` and ``text_mask`` of the batch are then (B * C, L). A sample with fewer candidates, or with none, as of
    a set without texts, has some without a word, which losses leave out.

    Args:
        num_texts: Number C of candidates; of more the first ones are taken.
        **options: See ``VLDataPreprocessor``.
    """

    def __init__(self, num_texts: int = 5, **options: Any) -> None:
        super().__init__(**options)
        if num_texts < 1:
            raise OmniVLValueError(f'num_texts must be at least 1, got {num_texts} (model.data_preprocessor.num_texts)')
        self.num_texts = num_texts

    def forward(self, data: dict, training: bool = False) -> dict:
        """See ``VLDataPreprocessor.forward``; samples without ``caption_ids`` have no texts."""
        made = super().forward(data, training)
        if training:
            rows = []
            for sample in data['data_samples']:
                found = list(sample.get('caption_ids', ()))[: self.num_texts]
                rows += [*found, *[EMPTY] * (self.num_texts - len(found))]
            # A word's place is there even without any word, so that all ranks do the same.
            ids, mask = pad_text(rows, self.pad_id, (*self.text_lengths, 1))
            batch = made['batch']
            batch.text_ids, batch.text_mask = ids.to(self.device), mask.to(self.device)
        return made
