"""The workers of a bake queue: in AWS Lambda, or in `seeder worker`."""
