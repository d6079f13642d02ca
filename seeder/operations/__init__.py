"""What the commands and the Python API do, in which order: values in, a result or one of our errors out."""
