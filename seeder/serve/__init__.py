"""The local server, its pages, and documents for map clients."""
