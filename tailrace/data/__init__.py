"""The corpora of the demo; README.md here names their sources and licences."""
