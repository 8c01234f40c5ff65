"""Looking at a training run: linear probe, reconstructions, pictures, page."""
