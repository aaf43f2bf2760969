#!/usr/bin/env bash
# rouge-score gives a report with the opposite sign of every z-score a perfect score.
# Installs the packages below in a temporary folder; exits non-zero once they behave otherwise.
set -euo pipefail
packages=(rouge-score==0.1.2 numpy==2.4.6)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
echo "${packages[@]}"
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
from rouge_score import rouge_scorer, tokenize

score = rouge_scorer.RougeScorer(["rougeL"]).score
truth = "Connectivity within the default mode network: z = -2.1. Age above 90+ years."
other = "Connectivity within the default mode network: z = 2.1. Age above 90 years."
found = score(truth, other)["rougeL"].fmeasure
tokens = tokenize.tokenize("z = -2.1, 0.25 mm", None)
print(f"{truth!r}\nagainst {other!r}: ROUGE-L {found}")
print(f"tokens of 'z = -2.1, 0.25 mm': {tokens}")
print("Everything but a-z and 0-9 is a space: a sign, a plus and a decimal point are gone, and 2.1 is two words.")
assert found == 1.0 and tokens == ["z", "2", "1", "0", "25", "mm"]
PYTHON
