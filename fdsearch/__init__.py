"""fdsearch finds, proves and ships the best image classifier for an inspection line."""
