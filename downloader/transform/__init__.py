"""The transform stage: what is made of each image, and the processes that make it."""
