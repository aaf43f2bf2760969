#!/usr/bin/env bash
# In a FreeSurfer .annot file two labels of one colour are one label, and a black one is no label.
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
import nibabel.freesurfer as fs
import numpy as np

table = np.array([[25, 5, 25, 0, 0], [10, 20, 30, 0, 0], [10, 20, 30, 0, 0], [0, 0, 0, 0, 0]])
table[:, 4] = table[:, 0] + 256 * table[:, 1] + 65536 * table[:, 2]
written = np.array([0, 1, 2, 2, 1, 3])
fs.write_annot("lh.annot", written, table, ["unknown", "V1", "V2", "V3"], fill_ctab=False)
read, _, _ = fs.read_annot("lh.annot")
print(f"labels written {written.tolist()} (V1 and V2 share a colour, V3 is black), read back {read.tolist()}")
print("The file holds a colour a vertex, not an index: the vertices of V2 become V1, those of V3 become unlabelled.")
assert read.tolist() == [0, 1, 1, 1, 1, -1]
PYTHON
