#!/usr/bin/env bash
# nipype's TSNR sets voxels whose standard deviation is 0.001 or less to 0, so it depends on the unit that a scan is stored in.
# Installs the packages below in a temporary folder; exits non-zero once they behave otherwise.
set -euo pipefail
packages=(nipype==1.10.0 nibabel==5.3.2 numpy==2.2.6)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
echo "${packages[@]}"
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import os

import nibabel as nib
import numpy as np
from nipype.algorithms.confounds import TSNR

rng = np.random.default_rng(0)
scan = (100 + rng.normal(size=(4, 4, 4, 50))).astype(np.float32)
found = {}
for unit in (1.0, 0.01, 0.0001):
    nib.save(nib.Nifti1Image(scan * np.float32(unit), np.eye(4)), "bold.nii.gz")
    TSNR(in_file=os.path.abspath("bold.nii.gz")).run()
    found[unit] = nib.load("tsnr.nii.gz").get_fdata().mean()
    by_hand = ((scan * unit).mean(-1) / (scan * unit).std(-1)).mean()
    print(f"the scan times {unit}: tSNR {found[unit]:.1f}, mean over standard deviation {by_hand:.1f}")
assert found[1.0] > 90 and found[0.01] > 90 and found[0.0001] == 0
PYTHON
