#!/usr/bin/env bash
# neuroCombat turns the whole table into NaN for one site of one person, or for one missing value.
# Installs the packages below in a temporary folder; exits non-zero once they behave otherwise.
set -euo pipefail
packages=(neuroCombat==0.2.12 numpy==2.4.6 pandas==3.1.1 scipy==1.17.1)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
echo "${packages[@]}"
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import contextlib
import io

import numpy as np
import pandas as pd
from neuroCombat import neuroCombat

features = np.random.default_rng(0).normal(size=(6, 21))
site = pd.DataFrame({"site": [1] * 10 + [2] * 10 + [3]})


def missing_after(data, covariates):
    with contextlib.redirect_stdout(io.StringIO()):
        harmonised = neuroCombat(dat=data, covars=covariates, batch_col="site")["data"]
    return int(np.isnan(harmonised).sum()), harmonised.size


one_missing = features[:, :20].copy()
one_missing[0, 0] = np.nan
two_sites = missing_after(features[:, :20], site[:20])
with_single = missing_after(features, site)
with_missing = missing_after(one_missing, site[:20])
print(f"sites of 10 and 10 people: {two_sites[0]} of {two_sites[1]} values are NaN")
print(f"sites of 10, 10 and 1 people: {with_single[0]} of {with_single[1]}, without an error")
print(f"sites of 10 and 10 people, one feature of one person missing: {with_missing[0]} of {with_missing[1]}")
assert two_sites[0] == 0 and with_single[0] == with_single[1] and with_missing[0] == with_missing[1]
PYTHON
