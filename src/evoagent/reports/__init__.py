"""What came of a run: the dataset card, the lineage of a row, exports."""
