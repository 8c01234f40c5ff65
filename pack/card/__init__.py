"""The description of a dataset: data card, Croissant metadata, contact sheet."""
