"""What omnivl vocabulary does: word pieces learned from captions."""

import argparse
from collections.abc import Iterator
from pathlib import Path

from omnivl.errors import OmniVLFileNotFoundError, OmniVLValueError
from omnivl.models.tokenizers.text import WordPieceTokenizer, train_vocabulary

STRUCTURED = ('.json', '.jsonl', '.csv', '.tsv', '.parquet')  # whose syntax would be learned as words


def captions_of(files: list[Path]) -> Iterator[str]:
    """Yield the captions of text files, one a line; a file that is not there, empty, JSON or no text is an error."""
    for file in files:
        if not file.is_file():
            raise OmniVLFileNotFoundError(
                f'no such file of captions: {file}; --captions wants text files, one caption a line'
            )
        if not file.stat().st_size:
            raise OmniVLValueError(f'{file} is empty; --captions wants text files, one caption a line')
        try:
            with file.open(encoding='utf-8') as lines:
                first = next(lines, '')
                if file.suffix in STRUCTURED or first.lstrip().startswith(('{"', '[{', '["')):
                    raise OmniVLValueError(
                        f'{file} is no plain text: its braces and keys would be learned as words; --captions wants one '
                        f'caption a line, as "jq -r \'.[].caption\' {file} > captions.txt" makes of a list of captions'
                    )
                yield first
                yield from lines
        except UnicodeDecodeError as error:
            raise OmniVLValueError(
                f'{file} is not UTF-8 text ({error}); --captions wants one caption a line'
            ) from error


def learn(args: argparse.Namespace) -> None:
    """Make the vocabulary that the options of the command describe, and write it."""
    vocabulary = train_vocabulary(captions_of(args.captions), size=args.size, lowercase=not args.cased)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(''.join(f'{line}\n' for line in vocabulary), encoding='utf-8')
    size = WordPieceTokenizer(args.out, lowercase=not args.cased).vocab_size
    print(f'{args.out}: {len(vocabulary)} lines, {size} ids with [DEC] and [ENC]')
