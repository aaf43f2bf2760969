#!/usr/bin/env bash
# nibabel's as_closest_canonical turns the slice axis over and leaves the slice order as it was, so slice times are reversed.
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


def times(image):
    """Slice time by the height of the slice in mm."""
    heights = [float((image.affine @ [0, 0, k, 1])[2]) for k in range(image.shape[2])]
    return dict(sorted(zip(heights, map(float, image.header.get_slice_times()))))


image = nib.Nifti1Image(np.zeros((2, 2, 4, 3), np.int16), np.diag([2.0, 2.0, -3.0, 1.0]))
header = image.header
header.set_xyzt_units("mm", "sec")
header.set_dim_info(slice=2)
header["slice_start"], header["slice_end"] = 0, 3
header["slice_code"] = 1  # sequential, increasing
header.set_slice_duration(0.5)
before = times(image)
print(f"slices stored from the top, seconds by height in mm: {before}")
turned = nib.as_closest_canonical(image)
after = times(turned)
code = int(turned.header["slice_code"])
print(f"after as_closest_canonical: slice code still {code}, seconds by height in mm: {after}")
assert turned.affine[2, 2] == 3.0 and code == 1
assert list(after) == list(before) and list(after.values()) == list(before.values())[::-1]
moved = nib.as_closest_canonical(nib.Nifti1Image(image.dataobj, image.affine[:, [2, 1, 0, 3]], header))
print(f"dim_info does follow a swap of axes: slice axis {header.get_dim_info()[2]} becomes {moved.header.get_dim_info()[2]}")
assert moved.header.get_dim_info()[2] == 0
PYTHON
