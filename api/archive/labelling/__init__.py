"""Labels as readers give them: case by case, undone, compared, and what to label next."""
