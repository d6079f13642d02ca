"""Archives of tiles: MBTiles, PMTiles and folders."""
