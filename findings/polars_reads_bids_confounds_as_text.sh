#!/usr/bin/env bash
# polars reads a column of numbers with BIDS's n/a as text: its mean is None and its maximum is "n/a", without an error.
# Installs the packages below in a temporary folder; exits non-zero once they behave otherwise.
set -euo pipefail
packages=(polars==1.35.2 pandas==2.3.3 numpy==2.2.6)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
echo "${packages[@]}"
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import pandas as pd
import polars as pl

# as fMRIPrep writes it: the first frame has no displacement
with open("confounds.tsv", "w") as file:
    file.write("framewise_displacement\ttrans_x\nn/a\t0.0\n0.1\t0.1\n0.3\t0.2\n")
fd = pl.read_csv("confounds.tsv", separator="\t")["framewise_displacement"]
print(f"pandas: mean {pd.read_csv('confounds.tsv', sep=chr(9))['framewise_displacement'].mean():.2f}")
print(f"polars: {fd.dtype}, mean {fd.mean()}, maximum {fd.max()}")
told = pl.read_csv("confounds.tsv", separator="\t", null_values="n/a")["framewise_displacement"]
print(f'polars with null_values="n/a": {told.dtype}, mean {told.mean():.2f}')
assert fd.dtype == pl.String and fd.mean() is None and fd.max() == "n/a" and abs(told.mean() - 0.2) < 1e-12
PYTHON
