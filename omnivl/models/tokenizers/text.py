"""Text tokenizers with BLIP's two extra tokens: BERT's word pieces, or what transformers saved; making a vocabulary."""

import itertools
import shutil
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from omnivl.errors import OmniVLFileNotFoundError, OmniVLValueError
from omnivl.registry import TOKENIZERS

if TYPE_CHECKING:  # reading it takes a second, and only folders need it
    from transformers import PreTrainedTokenizerFast

SPECIAL_TOKENS = ('[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]')
# BLIP appends these two to BERT's vocabulary, in this order (bos_token, then the additional special token).
DECODER_TOKEN = '[DEC]'
ENCODER_TOKEN = '[ENC]'
# What the paper's configs expect at data/bert-base-uncased/vocab.txt.
BERT_VOCABULARY = 'https://huggingface.co/google-bert/bert-base-uncased/resolve/main/vocab.txt'


class Vocabulary(NamedTuple):
    """What a tokenizer reads at its first use.

    Attributes:
        pipeline: Cleans and splits a text into pieces; to it, special tokens written out in a text are plain text.
        ids: The special tokens of BERT and BLIP -> their ids, whatever they are called in the file.
        size: Number of ids, [DEC] and [ENC] included.
    """

    pipeline: Tokenizer
    ids: dict[str, int]
    size: int


class TextTokenizer(ABC):
    """Texts to ids and back, with the special tokens that BERT and BLIP have.

    [DEC] starts a text that is to be generated, [ENC] one that is to be matched with a visual. What it takes is read at
    first use, so a config builds without it, and it is not part of the pickle that goes to the workers. Special tokens
    written out in a text are plain text here: a caption that says "[SEP]" cannot end its own sequence.
    """

    @abstractmethod
    def read(self) -> Vocabulary:
        """Read the vocabulary."""

    @abstractmethod
    def definition(self) -> bytes:
        """Return what decides the ids, for a checksum."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write what ``read`` needs into a folder, under the names that transformers gives it."""

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The vocabulary, read once."""
        return self.read()

    def encode(self, text: str, max_length: int) -> np.ndarray:
        """Turn a text into ids, cut so that [CLS] and [SEP] are always there.

        Args:
            text: Any text; the empty one gives [CLS] [SEP].
            max_length: Most ids to return, [CLS] and [SEP] included; at least 2.

        Returns:
            [CLS] pieces [SEP]; int64 (L,) with L <= max_length.

        Raises:
            OmniVLValueError: ``max_length`` has no room for [CLS] and [SEP].
        """
        if max_length < 2:
            raise OmniVLValueError(f'max_length is {max_length}, but [CLS] and [SEP] alone take 2: set it to 2 or more')
        pieces = self.vocabulary.pipeline.encode(text, add_special_tokens=False).ids[: max_length - 2]
        return np.array([self.cls_id, *pieces, self.sep_id], dtype=np.int64)

    def unknown_words(self, text: str) -> list[str]:
        """List the words of a text that become [UNK], as they are written, in their order."""
        found = self.vocabulary.pipeline.encode(text, add_special_tokens=False)
        return [text[first:last] for index, (first, last) in zip(found.ids, found.offsets) if index == self.unk_id]

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        """Turn ids back into a text: special tokens are dropped, and the first [SEP] after position 0 ends it.

        Args:
            ids: Ids of one text, a list or an array of integers (L,).

        Returns:
            The words, with one space between them and none before punctuation.
        """
        special = frozenset(self.vocabulary.ids.values())
        pieces = []
        for position, token in enumerate(int(token) for token in ids):
            if token == self.sep_id and position > 0:
                break
            if token not in special:
                pieces.append(token)
        return self.vocabulary.pipeline.decode(pieces, skip_special_tokens=False)

    @property
    def vocab_size(self) -> int:
        """Number of ids, [DEC] and [ENC] included."""
        return self.vocabulary.size

    @property
    def pad_id(self) -> int:
        """Id of [PAD], which fills up a batch."""
        return self.vocabulary.ids['[PAD]']

    @property
    def unk_id(self) -> int:
        """Id of [UNK], a word that the vocabulary cannot spell."""
        return self.vocabulary.ids['[UNK]']

    @property
    def cls_id(self) -> int:
        """Id of [CLS], the first token of every encoded text."""
        return self.vocabulary.ids['[CLS]']

    @property
    def sep_id(self) -> int:
        """Id of [SEP], the last token of every encoded text and the end of a generated one."""
        return self.vocabulary.ids['[SEP]']

    @property
    def decoder_id(self) -> int:
        """Id of [DEC], the first token in the generation decoder."""
        return self.vocabulary.ids[DECODER_TOKEN]

    @property
    def encoder_id(self) -> int:
        """Id of [ENC], the first token in the alignment decoder."""
        return self.vocabulary.ids[ENCODER_TOKEN]

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != 'vocabulary'}


@TOKENIZERS.register_module()
class WordPieceTokenizer(TextTokenizer):
    """BERT word pieces, with [DEC] and [ENC] appended to the vocabulary as BLIP does.

    Args:
        vocab_file: A ``vocab.txt`` in BERT's format, one word piece per line, with [PAD] [UNK] [CLS] [SEP] [MASK].
        lowercase: Lower-case the text and strip accents, as the uncased BERT does.
    """

    def __init__(self, vocab_file: str | Path, lowercase: bool = True) -> None:
        self.vocab_file = str(vocab_file)
        self.lowercase = lowercase

    def read(self) -> Vocabulary:
        """See ``TextTokenizer.read``."""
        lines = read_vocabulary(self.vocab_file)
        pipeline = _word_piece_pipeline(models.WordPiece(lines, unk_token='[UNK]'), self.lowercase)
        ids = {token: lines[token] for token in SPECIAL_TOKENS}
        return Vocabulary(pipeline, ids | {DECODER_TOKEN: len(lines), ENCODER_TOKEN: len(lines) + 1}, len(lines) + 2)

    def definition(self) -> bytes:
        """See ``TextTokenizer.definition``."""
        return Path(self.vocab_file).read_bytes() + (b'' if self.lowercase else b'\n[cased]')

    def save(self, folder: Path) -> None:
        """See ``TextTokenizer.save``."""
        shutil.copyfile(self.vocab_file, folder / 'vocab.txt')

    def __repr__(self) -> str:
        return f'{type(self).__name__}(vocab_file={self.vocab_file!r}, lowercase={self.lowercase})'


@TOKENIZERS.register_module()
class PretrainedTokenizer(TextTokenizer):
    """A tokenizer as transformers saves it, read by its ``AutoTokenizer``, with [DEC] and [ENC] behind its vocabulary.

    Nothing is downloaded. Where it has no [CLS] and [SEP], its tokens for the beginning and the end of a text stand for
    them. transformers only reads it: texts go straight to the library that does the work, as for word pieces.

    Args:
        vocab_folder: What ``save_pretrained`` wrote: ``tokenizer.json`` and ``tokenizer_config.json``, or the latter
            and the files of its class.
    """

    def __init__(self, vocab_folder: str | Path) -> None:
        self.vocab_folder = str(vocab_folder)

    def read(self) -> Vocabulary:
        """See ``TextTokenizer.read``."""
        tokenizer = self._read_pretrained()
        roles = {
            '[PAD]': tokenizer.pad_token_id,
            '[UNK]': tokenizer.unk_token_id,
            '[CLS]': tokenizer.bos_token_id if tokenizer.cls_token_id is None else tokenizer.cls_token_id,
            '[SEP]': tokenizer.eos_token_id if tokenizer.sep_token_id is None else tokenizer.sep_token_id,
        }
        missing = [token for token, index in roles.items() if index is None]
        if missing:
            raise OmniVLValueError(f'the tokenizer in {self.vocab_folder} has nothing that could be {missing}')
        if roles['[PAD]'] != 0:
            raise OmniVLValueError(
                f'the tokenizer in {self.vocab_folder} pads with id {roles["[PAD]"]}, the text models pad with 0: they '
                'do not fit'
            )
        names = tokenizer.get_vocab()
        ids = dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids)) | roles
        for token in (DECODER_TOKEN, ENCODER_TOKEN):
            ids[token] = names.setdefault(token, max(names.values()) + 1)
        pipeline = tokenizer.backend_tokenizer
        pipeline.encode_special_tokens = True
        return Vocabulary(pipeline, ids, max(names.values()) + 1)

    def definition(self) -> bytes:
        """See ``TextTokenizer.definition``."""
        return self.vocabulary.pipeline.to_str().encode()

    def save(self, folder: Path) -> None:
        """See ``TextTokenizer.save``."""
        self._read_pretrained().save_pretrained(folder)

    def _read_pretrained(self) -> 'PreTrainedTokenizerFast':
        from transformers import AutoTokenizer, PreTrainedTokenizerFast  # type: ignore[attr-defined]

        if not Path(self.vocab_folder).is_dir():
            raise OmniVLFileNotFoundError(
                f'no folder {self.vocab_folder}: give one that save_pretrained of a tokenizer of transformers wrote'
            )
        try:
            # Unless told not to, it asks on the terminal whether to run the code that a folder of others may bring.
            tokenizer = AutoTokenizer.from_pretrained(self.vocab_folder, local_files_only=True, trust_remote_code=False)
        except (OSError, ValueError) as error:
            raise OmniVLValueError(
                f'transformers finds no tokenizer in {self.vocab_folder} ({str(error).splitlines()[0]}): it needs '
                'tokenizer.json and tokenizer_config.json, which save_pretrained writes; for a vocab.txt alone take '
                'WordPieceTokenizer'
            ) from error
        if not isinstance(tokenizer, PreTrainedTokenizerFast):
            raise OmniVLValueError(f'the tokenizer in {self.vocab_folder} has no fast form (tokenizer.json)')
        return tokenizer

    def __repr__(self) -> str:
        return f'{type(self).__name__}(vocab_folder={self.vocab_folder!r})'


def _word_piece_pipeline(model: models.WordPiece, lowercase: bool) -> Tokenizer:
    """Put BERT's cleaning and splitting around a word-piece model."""
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def read_vocabulary(vocab_file: str | Path) -> dict[str, int]:
    """Read a vocabulary in BERT's format: the id of a word piece is the number of its line, from 0.

    Args:
        vocab_file: Path of the text file, UTF-8.

    Returns:
        Word piece -> id.

    Raises:
        OmniVLFileNotFoundError: There is no such file; the message says where to get or how to make one.
        OmniVLValueError: A special token is missing, a line is there twice, or [DEC] / [ENC] are in the file.
    """
    path = Path(vocab_file)
    if not path.is_file():
        raise OmniVLFileNotFoundError(
            f'no vocabulary at {path}: get that of BERT with "curl --create-dirs -Lo {path} {BERT_VOCABULARY}", or '
            f'make one with "omnivl vocabulary --captions FILE --out {path}"'
        )
    try:
        with path.open(encoding='utf-8') as lines:
            pieces = [line.rstrip('\n') for line in lines]
    except UnicodeDecodeError as error:
        raise OmniVLValueError(f'{path} is no BERT vocabulary, it is not UTF-8 text: {error}') from error
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    missing = [token for token in SPECIAL_TOKENS if token not in vocabulary]
    if missing:
        raise OmniVLValueError(
            f'{path} is no BERT vocabulary: it has no line {missing}; needed are {list(SPECIAL_TOKENS)}'
        )
    if len(vocabulary) < len(pieces):
        twice = next(piece for piece, count in Counter(pieces).items() if count > 1)
        raise OmniVLValueError(f'{path} has the line {twice!r} twice: every word piece must stand on one line only')
    taken = [token for token in (DECODER_TOKEN, ENCODER_TOKEN) if token in vocabulary]
    if taken:
        raise OmniVLValueError(
            f'{path} already holds {taken}: remove these lines, they are appended after the last one'
        )
    return vocabulary


def train_vocabulary(texts: Iterable[str], size: int, lowercase: bool = True) -> list[str]:
    """Make a word-piece vocabulary from texts; the same texts in any order give the same vocabulary.

    Where every word fits into ``size``, every word is one piece and nothing else is learned (a small closed
    world); single characters are kept beside them, so new words can still be spelled. Otherwise pieces are merged as
    BERT's are, by the ``tokenizers`` library.

    Args:
        texts: The training captions.
        size: Most lines of the vocabulary, special tokens included; [DEC] and [ENC] come on top.
        lowercase: As for :class:`WordPieceTokenizer`.

    Returns:
        The lines of ``vocab.txt``: special tokens, characters, then words or pieces.

    Raises:
        OmniVLValueError: There is no word in the texts, or ``size`` is too small for the characters alone.
    """
    pipeline = _word_piece_pipeline(models.WordPiece(unk_token='[UNK]'), lowercase)
    counts: Counter[str] = Counter()
    for text in texts:
        clean = pipeline.normalizer.normalize_str(text)
        counts.update(word for word, _ in pipeline.pre_tokenizer.pre_tokenize_str(clean))
    if not counts:
        raise OmniVLValueError('no vocabulary from no words: the texts are empty')
    first = sorted({word[0] for word in counts})
    later = sorted({f'##{character}' for word in counts for character in word[1:]})
    alphabet = [*SPECIAL_TOKENS, *first, *later]
    if len(alphabet) > size:
        raise OmniVLValueError(
            f'size={size} is too small: special tokens and single characters alone are {len(alphabet)} lines'
        )
    words = sorted((word for word in counts if len(word) > 1), key=lambda word: (-counts[word], word))
    if len(alphabet) + len(words) <= size:
        return alphabet + words
    # The trainer numbers continuing characters in the order of a hash map and breaks ties by that number, so two runs
    # differ (huggingface/tokenizers#1794); given as special tokens they have a fixed number, and all runs agree.
    trainer = trainers.WordPieceTrainer(vocab_size=size, special_tokens=alphabet, min_frequency=2, show_progress=False)
    pipeline.train_from_iterator(_repeated(counts), trainer)
    vocabulary = pipeline.get_vocab()
    return sorted(vocabulary, key=vocabulary.__getitem__)


def _repeated(counts: Counter[str]) -> Iterator[str]:
    """Repeat every word as often as it was counted, in lines of bounded length."""
    for word in sorted(counts):
        full_lines, rest = divmod(counts[word], 1000)
        yield from itertools.repeat(' '.join([word] * 1000), full_lines)
        yield ' '.join([word] * rest)
