"""Prints the version of an installed package."""

import importlib.metadata
import sys

print(importlib.metadata.version(sys.argv[1]))
