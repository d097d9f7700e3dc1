"""Tests of the training side; all of them need torch."""
