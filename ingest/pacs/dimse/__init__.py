"""DIMSE (PS3.7): associations, questions, C-GET, C-MOVE and C-STORE; others use `client.DimseClient`."""
