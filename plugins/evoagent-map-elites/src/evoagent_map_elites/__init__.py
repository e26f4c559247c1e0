"""MAP-Elites selectors on the archives of pyribs: quality and diversity at once."""
