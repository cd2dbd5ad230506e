"""DICOMweb without HTTP: questions of QIDO-RS and their answers, and what WADO-RS retrieves."""
