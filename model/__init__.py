"""CrossAlignNet and its pretraining on shards."""
