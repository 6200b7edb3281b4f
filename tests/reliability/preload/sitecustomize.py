"""Imported by every Python that starts with this folder in its PYTHONPATH."""

from tests.reliability import kills_points

kills_points.install()
