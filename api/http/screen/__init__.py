"""The screen, a web application, as files: `files` serves what was built of the sources in `api/web`."""
