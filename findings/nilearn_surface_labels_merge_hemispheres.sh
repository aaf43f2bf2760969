#!/usr/bin/env bash
# nilearn's surface masker averages left and right parcels of one number into one column.
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
from nilearn.maskers import SurfaceLabelsMasker
from nilearn.surface import InMemoryMesh, PolyMesh, SurfaceImage

faces = np.array([[0, 1, 2], [1, 2, 3], [2, 3, 4]])
vertices = np.random.default_rng(0).normal(size=(5, 3))
mesh = PolyMesh(left=InMemoryMesh(vertices, faces), right=InMemoryMesh(vertices, faces))
numbers = np.array([1, 1, 2, 2, 0])
atlas = SurfaceImage(mesh, {"left": numbers, "right": numbers})
frames = np.arange(6.0)
bold = SurfaceImage(mesh, {"left": np.tile(10 + frames, (5, 1)), "right": np.tile(20 + frames, (5, 1))})
columns = SurfaceLabelsMasker(atlas, standardize=None).fit_transform(bold)
print(f"left parcels hold 10, right parcels 20, both numbered 1 and 2: columns {columns.shape[1]}, first frame {columns[0]}")
print("FreeSurfer's .annot and fsaverage label files number each hemisphere from 1, so homologous parcels are mixed.")
assert columns.shape == (6, 2) and np.allclose(columns[0], 15)
PYTHON
