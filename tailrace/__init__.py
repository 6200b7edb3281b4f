"""The face: command line, demo, settings, and the composition root that knows all parts."""
