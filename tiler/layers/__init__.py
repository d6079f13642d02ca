"""A layer as it is published: its catalog entry, its COG, the tile that is rendered from it and stored."""
