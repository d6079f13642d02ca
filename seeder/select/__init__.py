"""Select tiles by zooms, boxes, shapes, lists and traffic; sets of tiles, blocks and their order."""
