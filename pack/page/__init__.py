"""Pages: views of models with their point-pixel mappings, and a report on a dataset."""
