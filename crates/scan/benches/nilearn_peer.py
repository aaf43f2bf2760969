"""Parcel series of a run by nilearn, as `parcels one` makes them: RUN ATLAS [clean]."""

import sys
import warnings

import numpy as np
from nilearn.maskers import NiftiLabelsMasker

warnings.filterwarnings("ignore")
run, atlas, *rest = sys.argv[1:]
clean = rest == ["clean"]
settings = {}
confounds = None
if clean:
    settings = dict(detrend=True, high_pass=0.01, low_pass=0.1, t_r=0.735, standardize="zscore_sample")
    t, c = np.mgrid[:490, :24]
    confounds = ((t * t * (c + 3) + 7 * c * t) % 101).astype(float)
masker = NiftiLabelsMasker(atlas, resampling_target="data", keep_masked_labels=False, **settings)
series = masker.fit_transform(run, confounds=confounds)
print(*series.shape, float(np.abs(series).sum()))
