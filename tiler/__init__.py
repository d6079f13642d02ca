"""Everything that makes or stores a tile."""
