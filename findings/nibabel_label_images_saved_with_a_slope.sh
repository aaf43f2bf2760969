#!/usr/bin/env bash
# nibabel saves label numbers above 255 in a uint8 image with a slope, and they come back as fractions.
# Installs the packages below in a temporary folder; exits non-zero once they behave otherwise.
set -euo pipefail
packages=(nibabel==5.4.2 numpy==2.4.6)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
echo "${packages[@]}"
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import nibabel as nib
import numpy as np

labels = nib.Nifti1Image(np.array([[[0.0, 17, 200, 401]]]), np.eye(4))
labels.set_data_dtype(np.uint8)
back = nib.Nifti1Image.from_bytes(labels.to_bytes())
values = back.get_fdata().ravel()
print(f"labels 0, 17, 200, 401 saved as uint8: slope {back.dataobj.slope:.6f}, read back {values}")
print(f"as whole numbers by truncation: {values.astype(int)}, by rounding: {values.round().astype(int)}")
assert back.dataobj.slope > 1 and values.astype(int).tolist() == [0, 17, 199, 400]
assert values.round().astype(int).tolist() == [0, 17, 200, 401]
PYTHON
