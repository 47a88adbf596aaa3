"""Label formats: a reader and a writer for each, and `find`, which sees which of them a folder holds."""
