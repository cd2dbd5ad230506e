"""Patients, studies, series and instances as DICOM's query model has them (PS3.4 C.6.2): matching, lists, and
the files that hold instances. Pictures and volumes that are no DICOM files are left out.
"""
