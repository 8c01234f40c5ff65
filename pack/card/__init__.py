"""The dataset described: data card, Croissant metadata, contact sheet."""
