"""Diversity of an evolving dataset: Vendi score, MTLD and HD-D, self-BLEU."""
