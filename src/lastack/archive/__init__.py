"""What a watch has recorded, in a directory of Parquet files by the hour: writing it, bounding it, reading it back."""
