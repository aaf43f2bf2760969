#!/usr/bin/env bash
# nilearn's Butterworth filter interpolates the mirror image of a censored frame, so the spike stays.
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
from nilearn import signal

n_frames = 101
smooth = np.sin(np.arange(n_frames) / 7)[:, None]


def filtered(series, censored):
    kept = np.setdiff1d(np.arange(n_frames), censored)
    return signal.clean(series, sample_mask=kept, filter="butterworth", low_pass=0.1, t_r=2.0, detrend=False, standardize=None)


def leak(censored):
    """How far a spike of 100 in the censored frames moves the frames that are kept."""
    spiked = smooth.copy()
    spiked[censored] = 100
    return np.abs(filtered(spiked, censored) - filtered(smooth, censored)).max()


print("Censored frames are replaced by a spline before the filter, so a spike there should not matter.")
for censored in ([49], [50], [20, 80], [20, 81]):
    print(f"  spike of 100 in censored {censored} of {n_frames} frames: kept frames move by {leak(censored):.3g}")
print("A censored frame whose mirror image (n - 1 - i) is censored too keeps its spike: 50 mirrors itself, 20 mirrors 80.")
assert leak([49]) < 1e-3 and leak([20, 81]) < 1e-3
assert leak([50]) > 20 and leak([20, 80]) > 20
PYTHON
