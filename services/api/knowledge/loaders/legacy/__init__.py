"""Office's formats of 1997 to 2003 (.doc, .ppt, .xls) and RTF, and what is only saved under their names."""
