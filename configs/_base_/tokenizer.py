"""The vocabulary of BERT's uncased base model; the models name it, too (``trunk.tokenizer``)."""

from omnivl.models.tokenizers import WordPieceTokenizer

tokenizer = dict(type=WordPieceTokenizer, vocab_file='data/bert-base-uncased/vocab.txt')
