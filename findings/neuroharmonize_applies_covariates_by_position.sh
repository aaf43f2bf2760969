#!/usr/bin/env bash
# neuroHarmonize's harmonizationApply takes covariates by the order of the columns, not by their names.
# Installs the packages below in a temporary folder; exits non-zero once they behave otherwise.
set -euo pipefail
packages=(neuroHarmonize==2.5.2 neuroCombat==0.2.12 nibabel==5.4.2 numpy==1.26.4 pandas==2.3.3 scipy==1.17.1 statsmodels==0.15.0)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
echo "${packages[@]}"
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
import pandas as pd
from neuroHarmonize import harmonizationApply, harmonizationLearn

rng = np.random.default_rng(0)
people = pd.DataFrame({"SITE": ["A"] * 40 + ["B"] * 40, "AGE": rng.uniform(20, 80, 80), "SEX": rng.integers(0, 2, 80)})
data = rng.normal(size=(80, 5)) + 0.05 * people[["AGE"]].to_numpy() + (people["SITE"] == "B").to_numpy()[:, None]
model, fitted = harmonizationLearn(data, people)


def apply(*columns):
    values = harmonizationApply(data, people[list(columns)], model)
    off = np.abs(values - fitted).max()
    print(f"applied with columns {', '.join(columns)}: values off by up to {off:.2f}")
    return off


print(f"trained on columns SITE, AGE, SEX, then applied to the same 80 people; standard deviation {fitted.std():.2f}")
assert apply("SITE", "AGE", "SEX") < 1e-9
assert apply("AGE", "SITE", "SEX") < 1e-9
assert apply("SITE", "SEX", "AGE") > 0.5
print("SITE is found by its name wherever it stands; the other columns are told apart by position alone.")
PYTHON
