"""HTML pages: views of models with their point-pixel mapping; a dataset report."""
