//! Tables of subjects: CSV, TSV and Parquet.
