"""Make the vocabulary of a demo corpus: word pieces of its training split and of the prompts.

Example:
    python -m projects.demo.make_vocabulary --data data/demo --out data/demo/vocab.txt
"""

import argparse
import sys
from pathlib import Path

from omnivl.errors import OmniVLError
from omnivl.models.tokenizers.text import train_vocabulary

from .corpus.texts import training_texts


def main() -> None:
    """Read, train and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--data', type=Path, required=True, help='folder of the corpus')
    parser.add_argument('--out', type=Path, required=True, help='the vocab.txt to write')
    args = parser.parse_args()
    try:
        vocabulary = train_vocabulary(training_texts(args.data), size=1000)
    except OmniVLError as error:
        sys.exit(f'make_vocabulary: {error}')
    args.out.write_text(''.join(f'{line}\n' for line in vocabulary), encoding='utf-8')
    print(f'{args.out}: {len(vocabulary)} lines')


if __name__ == '__main__':
    main()
