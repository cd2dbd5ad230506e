"""Copies of a home: `backup` makes them, `backup_folder` is where they lie, `backup_check` says whether they
are whole, and `backup_uploads` takes received files along.
"""
