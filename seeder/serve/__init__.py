"""The local server, its pages and the documents that map clients read."""
