"""Labels of cases: stored, found for each case, by class column, and where identical pictures contradict."""
