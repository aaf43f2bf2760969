#!/usr/bin/env bash
# nilearn's ConnectivityMeasure standardizes with True only: the word "zscore_sample", which its maskers take, leaves the series as they are.
# Installs the packages below in a temporary folder; exits non-zero once they behave otherwise.
set -euo pipefail
packages=(nilearn==0.14.1 numpy==2.2.6)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
echo "${packages[@]}"
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
from nilearn.connectome import ConnectivityMeasure

# six parcels in units of their own, the first two of them related
rng = np.random.default_rng(0)
series = rng.normal(size=(60, 6)) * np.array([1, 2, 5, 10, 50, 100])
series[:, 1] += series[:, 0]


def edge(standardize, of=series):
    matrix = ConnectivityMeasure(kind="correlation", standardize=standardize).fit_transform([of])[0]
    return matrix[0, 1]


by_hand = edge(False, (series - series.mean(0)) / series.std(0, ddof=1))
for value in (True, "zscore_sample", False):
    print(f"standardize={value!r}: the edge is {edge(value):.4f}")
print(f"of series standardized before: {by_hand:.4f}")
assert abs(edge(True) - by_hand) < 1e-9
assert edge("zscore_sample") == edge(False) and abs(edge(False) - by_hand) > 0.05
PYTHON
