"""Reading and writing files, whatever is in them: tables, lines, folders that appear whole, caches."""
