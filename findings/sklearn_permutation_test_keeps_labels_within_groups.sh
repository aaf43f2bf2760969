#!/usr/bin/env bash
# scikit-learn's permutation_test_score with groups permutes within a group only: labels of whole people never move.
# Installs the packages below in a temporary folder; exits non-zero once they behave otherwise.
set -euo pipefail
packages=(scikit-learn==1.9.1 numpy==2.4.6 scipy==1.17.1)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
echo "${packages[@]}"
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score, permutation_test_score

rng = np.random.default_rng(0)
people = np.repeat(np.arange(20), 5)  # five windows of each of twenty people
patient = np.repeat(np.tile([0, 1], 10), 5)
windows = rng.normal(size=(100, 5)) + 1.5 * patient[:, None]
model, folds = LogisticRegression(), GroupKFold(5)
score, null, p = permutation_test_score(model, windows, patient, groups=people, cv=folds, n_permutations=50, random_state=0)
print(f"accuracy over people {score:.2f}; 50 permutations with groups=people give {np.unique(null.round(3)).tolist()}, p {p:.2f}")
by_hand = []
for _ in range(50):
    moved = rng.permutation(patient[::5]).repeat(5)
    by_hand.append(cross_val_score(model, windows, moved, groups=people, cv=folds).mean())
p_people = (1 + np.sum(np.array(by_hand) >= score)) / 51
print(f"labels of whole people permuted by hand: accuracies {min(by_hand):.2f} to {max(by_hand):.2f}, p {p_people:.2f}")
print("The same groups choose the folds and bound the permutation, so a label that is constant within people stays put.")
assert p == 1.0 and np.allclose(null, score) and p_people < 0.05
PYTHON
