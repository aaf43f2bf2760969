#!/usr/bin/env bash
# pycocoevalcap's CIDEr gives a perfect report 0 where all references are the same, as for one scan.
# Installs the packages below in a temporary folder; exits non-zero once they behave otherwise.
set -euo pipefail
packages=(pycocoevalcap==1.2 numpy==2.4.6)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
echo "${packages[@]}"
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
from pycocoevalcap.cider.cider import Cider


def of_perfect(reports):
    both = {index: [report] for index, report in enumerate(reports)}
    return float(Cider().compute_score(both, both)[0])


one = of_perfect(["no focal lesion is seen"])
same = of_perfect(["no focal lesion is seen"] * 2)
other = of_perfect(["no focal lesion is seen", "mild motion in most frames"])
short = of_perfect(["no lesion", "mild motion in most frames"])
print(f"every report equal to its reference: one scan {one}, two scans of one reference {same}, of two references {other}")
print(f"two references, one of them of two words: {short} (no 4-grams, so that report cannot reach 10)")
print("The weight of an n-gram is log(n references / references that hold it), 0 where all hold it: normal scans score nothing.")
assert one == same == 0.0 and other > 9.9 and short < other
PYTHON
