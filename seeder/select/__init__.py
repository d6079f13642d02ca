"""Which tiles are meant: zooms, boxes, shapes, lists, traffic; sets of tiles and blocks, and their order."""
