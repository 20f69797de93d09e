"""One HTML page that shows a prepared data set: random triples, identities by camera, counts."""
