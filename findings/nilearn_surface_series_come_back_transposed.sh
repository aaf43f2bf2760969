#!/usr/bin/env bash
# nilearn writes a surface series as one 2-D GIFTI array and reads the same file back transposed.
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
import os

import nibabel as nib
import numpy as np
from nilearn.surface import InMemoryMesh, PolyMesh, SurfaceImage, load_surf_data

faces = np.array([[0, 1, 2], [1, 2, 3], [2, 3, 4]])
vertices = np.random.default_rng(0).normal(size=(5, 3))
mesh = PolyMesh(left=InMemoryMesh(vertices, faces), right=InMemoryMesh(vertices, faces))
series = SurfaceImage(mesh, {"left": np.arange(30.0).reshape(5, 6), "right": np.arange(30.0).reshape(5, 6)})
series.data.to_filename("series.gii")
written = sorted(name for name in os.listdir() if name.endswith(".gii"))
left = load_surf_data("series_hemi-L.gii")
print(f"5 vertices x 6 frames, files written: {written}")
print(f"nilearn reads back {left.shape}, nibabel's agg_data {nib.load('series_hemi-L.gii').agg_data().shape}")
assert left.shape == (6, 5) and nib.load("series_hemi-L.gii").agg_data().shape == (5, 6)
PYTHON
