"""Transforms of text: cleaning and word pieces."""

import re
from typing import Any

from omnivl.datasets.errors import BrokenVisualError
from omnivl.errors import OmniVLValueError
from omnivl.registry import TOKENIZERS, TRANSFORMS

from .base import Transform, require

_MARKS = re.compile(r'[.!"()*#:;~]')


def clean_caption(caption: str, max_words: int | None = None) -> str:
    """Clean a caption as ALBEF and BLIP do: lower case, marks become spaces, spaces are squeezed, cut to some words."""
    return _first_words(_MARKS.sub(' ', caption.lower()), max_words)


def clean_question(question: str, max_words: int | None = None) -> str:
    """Clean a question as ALBEF and BLIP do: like a caption, but marks vanish and leave no space (``?`` stays)."""
    # BLIP leaves double spaces in questions; they are squeezed here too, which word pieces do not see.
    return _first_words(_MARKS.sub('', question.lower()), max_words)


def _first_words(text: str, max_words: int | None) -> str:
    return ' '.join(text.split()[:max_words])


class CleanText(Transform):
    """Base of what cleans text: a text of which nothing is left is like a broken file, so the dataset's policy decides.

    Args:
        max_words: Number of words that are kept; None keeps all.
    """

    text_only = True  # see VisualDataset.tokenize

    def __init__(self, max_words: int | None) -> None:
        if max_words is not None and (not isinstance(max_words, int) or max_words < 1):
            raise OmniVLValueError(
                f'{type(self).__name__}: max_words must be a positive int or None, got {max_words!r}'
            )
        self.max_words = max_words

    def _checked(self, cleaned: str, text: str, kind: str, results: dict[str, Any]) -> str:
        if not cleaned:
            path = str(results.get('visual', results.get('sample_id', 'a sample')))
            raise BrokenVisualError(path, f'its {kind} {text!r} is empty after cleaning')
        return cleaned


@TRANSFORMS.register_module()
class CleanCaption(CleanText):
    """Clean ``text`` and ``captions``, see :func:`clean_caption`.

    Required keys: ``text`` or ``captions``. Modified keys: those of the two that are there.

    Args:
        max_words: Number of words that are kept; None keeps all. BLIP keeps 30 in pretraining.
    """

    def __init__(self, max_words: int | None = 30) -> None:
        super().__init__(max_words)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Clean the texts; raise BrokenVisualError if nothing is left of one."""
        if 'captions' not in results:
            require(results, self, ('text',))
        if results.get('text') is not None:
            results['text'] = self._clean(results['text'], results)
        if results.get('captions') is not None:
            results['captions'] = [self._clean(caption, results) for caption in results['captions']]
        return results

    def _clean(self, caption: str, results: dict[str, Any]) -> str:
        return self._checked(clean_caption(caption, self.max_words), caption, 'caption', results)


@TRANSFORMS.register_module()
class CleanQuestion(CleanText):
    """Clean ``question``, see :func:`clean_question`; answers stay as they are, as in BLIP.

    Required and modified keys: ``question``.

    Args:
        max_words: Number of words that are kept; None keeps all. BLIP keeps 50.
    """

    def __init__(self, max_words: int | None = 50) -> None:
        super().__init__(max_words)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Clean the question; raise BrokenVisualError if nothing is left of it."""
        require(results, self, ('question',))
        question = results['question']
        results['question'] = self._checked(clean_question(question, self.max_words), question, 'question', results)
        return results


@TRANSFORMS.register_module()
class TokenizeText(Transform):
    """Turn text into word-piece ids, unpadded.

    Required keys: ``text``, ``captions`` or ``question``. Added keys: ``text_ids`` from ``text`` or ``question``,
    ``caption_ids`` from ``captions``, ``answer_ids`` from ``distinct_answers``; int64 (L,) each, [CLS] first and [SEP]
    last. ``unknown_words``, where the vocabulary does not know all words of text, question or captions.

    Args:
        tokenizer: Config of a text tokenizer (registry ``TOKENIZERS``), or the tokenizer; left out of a config, it is
            that of the model (see ``share_tokenizer`` of ``omnivl/engine/config.py``).
        max_length: Longest row of ids, [CLS] and [SEP] included.
    """

    text_only = True  # see VisualDataset.tokenize

    def __init__(self, tokenizer: Any = None, max_length: int | None = None) -> None:
        if not isinstance(max_length, int) or max_length < 3:
            raise OmniVLValueError(
                f'TokenizeText: max_length must be an int of at least 3 ([CLS], a piece, [SEP]), got {max_length!r}'
            )
        if tokenizer is None:
            raise OmniVLValueError(
                'TokenizeText has no tokenizer: state it once, in model.trunk.tokenizer of the config, and read the '
                'config with read_config (omnivl.engine), which hands it over; or set TokenizeText.tokenizer'
            )
        self.tokenizer = TOKENIZERS.build(tokenizer) if isinstance(tokenizer, dict) else tokenizer
        self.max_length = max_length

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add ``text_ids``, ``caption_ids`` and ``answer_ids``."""
        if 'captions' not in results and 'question' not in results:
            require(results, self, ('text',))
        if results.get('text') is not None:
            results['text_ids'] = self.tokenizer.encode(results['text'], self.max_length)
        if results.get('question') is not None:
            results['text_ids'] = self.tokenizer.encode(results['question'], self.max_length)
        if results.get('captions') is not None:
            results['caption_ids'] = [self.tokenizer.encode(text, self.max_length) for text in results['captions']]
        if results.get('distinct_answers') is not None:
            answers = results['distinct_answers']
            results['answer_ids'] = [self.tokenizer.encode(answer, self.max_length) for answer in answers]
        self._note_unknown(results)
        return results

    def _note_unknown(self, results: dict[str, Any]) -> None:
        """Name the words that have become [UNK]; they are looked for only where there is one."""
        unknown = getattr(self.tokenizer, 'unk_id', None)  # a tokenizer of a project may know every word
        rows = [*([results['text_ids']] if 'text_ids' in results else []), *results.get('caption_ids', ())]
        if unknown is None or not any((ids == unknown).any() for ids in rows):
            return
        texts = [results.get('text'), results.get('question'), *(results.get('captions') or ())]
        results['unknown_words'] = [word for text in texts if text for word in self.tokenizer.unknown_words(text)]
