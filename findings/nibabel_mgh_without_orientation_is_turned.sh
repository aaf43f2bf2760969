#!/usr/bin/env bash
# nibabel turns an .mgh file that says nothing of its orientation by 180 degrees against FreeSurfer.
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
import struct

import nibabel
import numpy as np

# version 1, 4 x 4 x 4 voxels, 1 frame, bytes, dof 0, goodRASFlag 0: the rest of the header is not in use
header = struct.pack(">7ih", 1, 4, 4, 4, 1, 0, 0, 0).ljust(284, b"\0")
with open("unplaced.mgh", "wb") as file:
    file.write(header + bytes(64))
image = nibabel.load("unplaced.mgh")
codes = "".join(nibabel.aff2axcodes(image.affine))
# FreeSurfer's format page: without the flag x is (-1, 0, 0), y is (0, 0, -1), z is (0, 1, 0)
freesurfer = np.array([[-1, 0, 0], [0, 0, 1], [0, -1, 0]])
print(f"goodRASFlag 0: nibabel says {codes}, with the cosines\n{image.affine[:3, :3].astype(int)}")
print(f"FreeSurfer's default for such files is LIA:\n{freesurfer}")
print("The second and third axis point the other way: an image without the flag is turned by 180 degrees about x.")
assert codes == "LSP"
assert np.array_equal(image.affine[:3, :3], freesurfer.T)
PYTHON
