"""Texts for VATT: words, the sentences said around a clip, and several candidates of them in a batch."""

import shutil
from collections.abc import Iterable, Iterator
from itertools import groupby
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
        shutil.copyfile(self.vocab_file, folder / 'words.txt')

    def __repr__(self) -> str:
        return f'{type(self).__name__}(vocab_file={self.vocab_file!r})'


@DATASETS.register_module()
class NarratedDataset(VisualDataset):
    """Clips of narrated videos, each with its own sentence and those that are said nearest to it.

    ``results``: ``visual, modality, clip, captions, sample_id, source, rng``, the own sentence first, then the others
    by how far the middles of both are apart. Speech and what it is about are seldom at the same time, so any of them
    may be the right one (MIL-NCE, 1912.06430, section 3.2).

    Args:
        annotations: See VisualDataset; a reader of one sentence per part of a video, those of a video in a row.
        pipeline: See VisualDataset.
        name: See VisualDataset.
        context: Number of sentences beside the own one, 4 in the published code.
        **options: See VisualDataset.
    """

    def __init__(
        self,
        annotations: dict | AnnotationReader,
        pipeline: Iterable,
        name: str,
        context: int = 4,
        **options: Unpack[DatasetOptions],
    ) -> None:
        if context < 0:
            raise OmniVLValueError(f'NarratedDataset {name!r}: context must be 0 or more sentences, got {context}')
        self.context = context
        super().__init__(annotations, list(pipeline), name, **options)

    def make_rows(self, records: Iterator[Record]) -> Iterable[tuple]:
        """One row per sentence, with the nearest of the same video."""
        for visual, group in groupby(records, key=lambda record: record.visual):
            spoken = list(group)
            if any(record.clip is None or not record.text for record in spoken):
                raise OmniVLValueError(
                    f'NarratedDataset {self.name!r}: {visual} has parts without times or without a sentence; give a '
                    'reader of narrated videos'
                )
            middles = np.array([sum(record.clip) / 2 for record in spoken if record.clip])
            for middle, record in zip(middles, spoken):
                nearest = np.argsort(np.abs(middles - middle), kind='stable')
                others = [spoken[index].text[0] for index in nearest if spoken[index] is not record]
                yield visual, record.clip, record.id, [record.text[0], *others[: self.context]]

    def get_data_info(self, index: int) -> dict[str, Any]:
        """Return a clip with its sentences."""
        visual, clip, record_id, texts = self._full_rows()[index]
        return self._base_info(visual, clip, f'{record_id}#{index}') | dict(captions=texts)


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
