#!/usr/bin/env bash
# nilearn's default covariance gives a constant parcel a variance above zero.
# Installs the packages below in a temporary folder; exits non-zero once they behave otherwise.
set -euo pipefail
packages=(nilearn==0.14.1 nibabel==5.4.2 numpy==2.4.6 scipy==1.17.1 pandas==3.1.1 scikit-learn==1.9.1)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
echo "${packages[@]}"
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
from nilearn.connectome import ConnectivityMeasure

series = np.random.default_rng(0).normal(size=(50, 3))
series[:, 1] = 3.0
covariance = ConnectivityMeasure(kind="covariance").fit_transform([series])[0]
precision = ConnectivityMeasure(kind="precision").fit_transform([series])[0]
print(f"variance of the constant parcel: {covariance[1, 1]:.3f} (numpy: {np.var(series[:, 1]):.3f})")
print(f"its precision: {precision[1, 1]:.1f}, the largest of the three: {np.diag(precision).round(1)}")
print("Ledoit-Wolf shrinks towards the mean variance, so a parcel without signal looks like the most certain one.")
assert covariance[1, 1] > 0.01 and precision[1, 1] == np.diag(precision).max()
PYTHON
