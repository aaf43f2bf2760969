#!/usr/bin/env bash
# SimpleITK places a NIfTI scan by its qform unless the sform's code is 1 or the qform's is 0; nibabel goes by the sform.
# Installs the packages below in a temporary folder; exits non-zero once they behave otherwise.
set -euo pipefail
packages=(SimpleITK==2.5.7 nibabel==5.4.2 numpy==2.4.6)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
echo "${packages[@]}"
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import nibabel as nib
import numpy as np
import SimpleITK as sitk

scanner = np.diag([2.0, 2.0, 2.0, 1.0])
scanner[:3, 3] = [-90, -126, -72]
turn = np.deg2rad(10)
shift = np.eye(4)
shift[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
shift[:3, 3] = [4, -6, 8]
registered = shift @ scanner
voxel = (45, 63, 36)
apart = {}
for sform_code in (1, 2, 4):
    for qform_code in (0, 1):
        image = nib.Nifti1Image(np.zeros((91, 109, 91), np.int16), None)
        image.set_qform(scanner, code=qform_code)
        image.set_sform(registered, code=sform_code)
        nib.save(image, "scan.nii")
        by_nibabel = (nib.load("scan.nii").affine @ [*voxel, 1])[:3]
        by_itk = np.array(sitk.ReadImage("scan.nii").TransformIndexToPhysicalPoint(voxel)) * [-1, -1, 1] + 0.0
        apart[sform_code, qform_code] = np.linalg.norm(by_nibabel - by_itk)
        print(
            f"sform code {sform_code}, qform code {qform_code}: voxel {voxel} lies at {by_nibabel.round(1).tolist()} mm"
            f" for nibabel, {by_itk.round(1).tolist()} for SimpleITK, {apart[sform_code, qform_code]:.1f} mm apart"
        )
print("A registration written into the sform (2 aligned, 4 MNI) beside the scanner's qform is seen by nibabel alone.")
assert apart[2, 1] > 5 and apart[4, 1] > 5
assert max(apart[1, 0], apart[1, 1], apart[2, 0], apart[4, 0]) < 0.01
PYTHON
