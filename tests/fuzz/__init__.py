"""Small rasters with damaged bytes, each through `ingest`, `seed` and `verify`: an answer, never a crash or a bad tile.

python -m tests.fuzz --number 500 --seed 1
python -m tests.fuzz --seed 1 --case 17 --keep folder    # one of them again, with its files and what was said
"""
