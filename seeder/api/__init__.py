"""The Python API: a workspace, its layers, their tiles, and jobs. `import seeder` gives all of it."""
