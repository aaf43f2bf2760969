#!/usr/bin/env bash
# scikit-learn's StratifiedGroupKFold leaves folds without a patient and does not warn, because it counts windows.
# Installs the packages below in a temporary folder; exits non-zero once they behave otherwise.
set -euo pipefail
packages=(scikit-learn==1.9.1 numpy==2.4.6)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
echo "${packages[@]}"
cd "$folder"
venv/bin/python - <<'PYTHON'
import warnings

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold


def patients(splitter, is_patient, groups):
    """Windows of patients in each test fold, and what was warned of."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        folds = splitter.split(np.zeros((len(is_patient), 1)), is_patient, groups)
        counts = [int(is_patient[test].sum()) for _, test in folds]
    return counts, [str(it.message) for it in said]


people = np.repeat(np.arange(20), 10)
is_patient = np.isin(people, [3, 11]).astype(int)
counts, said = patients(StratifiedGroupKFold(5, shuffle=True, random_state=0), is_patient, people)
print(f"20 people of 10 windows each, 2 of them patients, 5 folds: windows of patients {counts}, warnings {said}")
one_each = np.isin(np.arange(20), [3, 11]).astype(int)
plain, warned = patients(StratifiedKFold(5, shuffle=True, random_state=0), one_each, None)
print(f"one window each, StratifiedKFold: {plain}, warnings {warned}")
print("The members of a class are counted in windows, so that folds without a class are warned of only where people have one each.")
assert counts.count(0) == 3 and sum(counts) == 20 and not said
assert len(warned) == 1 and "least populated class" in warned[0]
PYTHON
