"""One file per data set: its table of facts, `FACTS`, and `read`, folders → records. A new file here is a new set."""
