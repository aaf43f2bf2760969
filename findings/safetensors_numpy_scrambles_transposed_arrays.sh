#!/usr/bin/env bash
# safetensors' NumPy writer stores the memory of a transposed array under the shape of the view.
# Installs the packages below in a temporary folder; exits non-zero once they behave otherwise.
set -euo pipefail
packages=(safetensors==0.8.0 numpy==2.4.6)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
echo "${packages[@]}"
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
from safetensors.numpy import load, save

matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
back = load(save({"w": matrix.T}))["w"]
print(f"saved   {matrix.T.tolist()}")
print(f"loaded  {back.tolist()}  (same shape {back.shape}, other numbers, no error)")
assert back.shape == matrix.T.shape and not np.array_equal(back, matrix.T)
assert np.array_equal(back.ravel(), matrix.ravel())
PYTHON
