"""Tiles in one file: MBTiles and PMTiles."""
