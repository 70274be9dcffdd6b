"""What a person looks at, of any model: contact sheets, and the attention of a word over image and frames."""
