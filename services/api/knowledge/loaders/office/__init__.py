"""Office formats that are archives of XML parts: presentations and OpenDocument files, read part by part."""
