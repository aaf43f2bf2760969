#!/usr/bin/env bash
# bctpy's null models for signed networks give every negative weight back with a positive sign.
# Installs the packages below in a temporary folder; exits non-zero once they behave otherwise.
set -euo pipefail
packages=(bctpy==0.6.1 numpy==2.4.6 scipy==1.17.1)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
echo "${packages[@]}"
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import bct
import numpy as np

rng = np.random.default_rng(0)
networks = np.repeat(rng.normal(size=(2, 300)), 10, axis=0)
series = networks + 0.8 * rng.normal(size=(20, 300))
matrix = np.corrcoef(series - series.mean(axis=0))
np.fill_diagonal(matrix, 0)
edges = np.triu_indices(20, 1)
print(f"correlations of 20 parcels: {np.sum(matrix[edges] < 0)} of {len(edges[0])} negative, sum {matrix[edges].sum():.1f}")
for model in (bct.null_model_und_sign, bct.null_model_dir_sign):
    null, kept = model(matrix.copy(), seed=0)
    every = ~np.eye(20, dtype=bool)
    print(
        f"{model.__name__}: {np.sum(null[every] < 0)} of {every.sum()} entries negative, sum {null.sum() / 2:.1f};"
        f" strengths kept, positive {kept[0]:.2f}, negative {kept[2]}"
    )
    assert np.sum(null < 0) == 0 and np.sum(null > 0) == every.sum() and np.isnan(kept[2])
null, _ = bct.null_model_und_sign(matrix.copy(), seed=0)
same = np.allclose(np.sort(np.abs(matrix[edges])), np.sort(null[edges]))
print(f"the null weights are the absolute values of the correlations: {same}")
swapped, _ = bct.randmio_und_signed(matrix.copy(), 5, seed=0)
print(f"randmio_und_signed, which only swaps edges, keeps {np.sum(swapped[edges] < 0)} negative ones")
assert same and np.sum(swapped < 0) == np.sum(matrix < 0)
PYTHON
