"""Tests; they mirror src/flukeprint."""
