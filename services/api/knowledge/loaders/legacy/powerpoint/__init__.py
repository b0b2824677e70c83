"""PowerPoint 97 to 2003: a tree of records, walked without recursion."""
