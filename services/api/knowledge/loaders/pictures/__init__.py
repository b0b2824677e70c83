"""Pictures → Document, and the reading of pictures (OCR) that the PDF loader shares. Nothing here needs a network."""
