"""Boosted trees: features to a matrix, training that stops in time, saved without pickle. For the rooms above."""
