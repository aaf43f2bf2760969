#!/usr/bin/env bash
# nilearn's label means count NaN voxels as zeros, and write the zeros into the caller's array.
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
import nibabel as nib
import numpy as np
from nilearn.maskers import NiftiLabelsMasker

data = np.full((2, 2, 2, 3), 10.0, dtype=np.float32)
data[0, 0, 0] = np.nan
bold = nib.Nifti1Image(data, np.eye(4))
labels = nib.Nifti1Image(np.ones((2, 2, 2), dtype=np.int16), np.eye(4))
means = NiftiLabelsMasker(labels, standardize=None).fit_transform(bold).ravel()
print(f"seven voxels of 10 and one NaN: nilearn's mean {means[0]}, numpy's nanmean 10.0, numpy's mean nan")
print(f"the caller's NaN voxel afterwards: {data[0, 0, 0, 0]}")
assert np.allclose(means, 8.75) and data[0, 0, 0, 0] == 0
PYTHON
