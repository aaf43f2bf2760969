#!/usr/bin/env bash
# nilearn's math_img writes a repetition time of 1 into what it returns; smoothing and resampling keep it.
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
from nilearn import image

bold = nib.Nifti1Image(np.random.default_rng(0).normal(size=(4, 4, 4, 6)).astype(np.float32), np.eye(4))
bold.header.set_zooms((1, 1, 1, 2.0))
bold.header.set_xyzt_units("mm", "sec")
made = {
    "math_img": image.math_img("img * 2", img=bold),
    "concat_imgs of its frames": image.concat_imgs(list(image.iter_img(bold))),
    "smooth_img": image.smooth_img(bold, 2),
    "resample_img": image.resample_img(bold, target_affine=np.diag([2.0, 2, 2, 1])),
    "index_img": image.index_img(bold, slice(0, 4)),
}
t_r = {name: float(img.header.get_zooms()[3]) for name, img in made.items()}
for name, seconds in t_r.items():
    print(f"  {name}: repetition time {seconds} (was 2.0)")
assert t_r["math_img"] == 1 and t_r["concat_imgs of its frames"] == 1
assert t_r["smooth_img"] == t_r["resample_img"] == t_r["index_img"] == 2
PYTHON
