"""Word 6 to Word 2003: the text by its piece table, properties by formatted disk pages, tables, notes."""
