"""Reads derivatives of the bundled cohort as their users would: pybids, pandas, nilearn."""
import json
import sys
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
from bids import BIDSLayout
from nilearn.interfaces.fmriprep import load_confounds
from nilearn.maskers import NiftiLabelsMasker

derivatives, dataset = map(Path, sys.argv[1:])

layout = BIDSLayout(derivatives, validate=False, is_derivative=True)
subjects = layout.get_subjects()
assert subjects == ["01", "02", "03"], subjects
files = layout.get(subject="01", suffix="timeseries", extension=".tsv")
assert len(files) == 1, files
series = files[0].get_df()
sidecar = files[0].get_metadata()
atlas = pd.read_csv(derivatives / "atlases/atlas-A424/atlas-A424_dseg.tsv", sep="\t")
assert list(series.columns) == list(atlas["name"]), "columns are not those of the atlas"

# the same series by nilearn, from the scan
scan = next((dataset / "sub-01/func").glob("*_desc-preproc_bold.nii.gz"))
labels = dataset.parent / "atlas/synthetic424.nii.gz"
masker = NiftiLabelsMasker(str(labels), standardize=None, resampling_target="data")
theirs = masker.fit_transform(str(scan))
assert series.shape == theirs.shape, (series.shape, theirs.shape)
np.testing.assert_allclose(series.to_numpy(), theirs, rtol=1e-5)
zooms = nibabel.load(scan).header.get_zooms()
assert abs(sidecar["RepetitionTime"] - zooms[3]) < 1e-6, (sidecar, zooms)

coverage = pd.read_csv(
    next((derivatives / "sub-01/func").glob("*_stat-coverage_bold.tsv")), sep="\t", index_col="Node"
)
assert list(coverage.index) == list(series.columns) and coverage["coverage"].between(0, 1).all()

# the confounds of the source, which the derivatives were made with
confounds, _ = load_confounds(str(scan), strategy=("motion",), motion="basic")
assert len(confounds) == len(series), (len(confounds), len(series))
table = pd.read_csv(
    next((dataset / "sub-01/func").glob("*_desc-confounds_timeseries.tsv")), sep="\t"
)
mean_fd = table["framewise_displacement"].mean()

phenotypes = pd.read_csv(
    derivatives / "idp/neuroflamingo_encode-cohort.tsv", sep="\t", dtype={"participant_id": str, "session_id": str}
)
dictionary = json.loads((derivatives / "idp/neuroflamingo_encode-cohort.json").read_text())
assert list(phenotypes.columns) == list(dictionary), "not every column is described"
assert phenotypes.columns[:2].tolist() == ["participant_id", "session_id"]
assert not phenotypes.duplicated(["participant_id", "session_id"]).any()
first = phenotypes.set_index("participant_id").loc["01"]
assert abs(first["task-rest_fd_mean"] - mean_fd) < 1e-9, (first["task-rest_fd_mean"], mean_fd)
assert first["task-rest_n_volumes"] == len(series)
