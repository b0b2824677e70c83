"""Rich Text Format: tokens, and the reader that keeps a stack of its own."""
