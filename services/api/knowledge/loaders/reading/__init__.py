"""What all loaders share: clean text, encodings, content types, archive limits, the outline, tables."""
