"""Show a prepared data set on one HTML page: random triples, identities by camera, counts."""
