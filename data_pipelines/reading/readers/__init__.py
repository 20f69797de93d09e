"""One file for each data set, with its facts, `FACTS`, and `read`, which turns folders into records.

A new file here is a new data set.
"""
