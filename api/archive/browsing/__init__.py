"""The cases of an archive as people browse them: `cases` for pages, facets and collections, `case_tables` for
files of them. Routes use both.
"""
