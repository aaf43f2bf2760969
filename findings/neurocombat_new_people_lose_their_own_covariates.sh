#!/usr/bin/env bash
# neuroCombatFromTraining gives a person the mean covariates of the training people, and the fit stops by the sign of a shift.
# Installs the packages below in a temporary folder; exits non-zero once they behave otherwise.
set -euo pipefail
packages=(neuroCombat==0.2.12 numpy==1.26.4 pandas==2.1.4 scipy==1.11.4)
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
from neuroCombat import neuroCombat, neuroCombatFromTraining

rng = np.random.default_rng(0)
people = pd.DataFrame({"site": [1] * 30 + [2] * 30, "age": rng.integers(20, 80, 60).astype(float)})
noise = rng.normal(size=(8, 60)) * np.where(people["site"] == 1, 1.0, 2.0)
data = noise + 0.05 * people["age"].to_numpy() + (people["site"] == 2).to_numpy() * rng.normal(1, 0.5, (8, 1))


def quiet(call, *given, **named):
    with contextlib.redirect_stdout(io.StringIO()):
        return call(*given, **named)


def fit(values):
    return quiet(neuroCombat, values.copy(), people, "site", continuous_cols=["age"])


trained = fit(data)
estimates = dict(trained["estimates"], batches=np.array(["1", "2"]))
again = [
    quiet(neuroCombatFromTraining, data[:, [i]], np.array([str(people["site"][i])]), estimates)["data"][:, 0]
    for i in range(60)
]
gap = np.abs(np.array(again).T - trained["data"])
slope = lambda values: np.mean([np.polyfit(people["age"][30:], row[30:], 1)[0] for row in values])
print(f"people of the fit, given one by one to neuroCombatFromTraining: values move by up to {gap.max():.2f}")
print(f"slope on age at the wider site, fitted {slope(trained['data']):.4f}, one by one {slope(np.array(again).T):.4f}")
mirrored = np.abs(fit(-data)["data"] + trained["data"]).max()
print(f"all data with the other sign: the harmonised values differ by {mirrored:.1e}, not by rounding alone")
assert gap.max() > 0.1 and mirrored > 1e-8
PYTHON
