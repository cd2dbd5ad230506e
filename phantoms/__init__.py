"""Synthetic medical studies, written as DICOM files, for the demonstration, the tests and the `tiny` model.

`catalogue` plans and synthesises studies (`make_studies`, `plan_studies`, `synthesise_study`), `dicom` writes
them as files, `writing` does both in several processes, `report` words them; `study` has their types. Each
kind of picture is a module in `anatomy` and a file of wording in `phrases`. `checkpoint` makes the bundled
model from them.
"""
