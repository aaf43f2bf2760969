#!/usr/bin/env bash
# OpenFlamingo's VQA accuracy leaves out everybody whose entry is equal, not one person: of VizWiz, whose answers have no
# number, an answer on which all ten people agree is worth 0.
# Installs the package below in a temporary folder; exits non-zero once it behaves otherwise.
set -euo pipefail
packages=(open-flamingo==2.0.1)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
# the module alone is read: what it depends on is not needed
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps "${packages[@]}"
echo "${packages[@]}"
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import contextlib
import importlib.util
import io
from pathlib import Path
from types import SimpleNamespace

source = next(Path("venv").glob("lib/python3*/site-packages/open_flamingo/eval/vqa_metric.py"))
spec = importlib.util.spec_from_file_location("vqa_metric", source)
vqa_metric = importlib.util.module_from_spec(spec)
spec.loader.exec_module(vqa_metric)


def accuracy(entries):
    told = {"question_id": 1, "question_type": "", "answer_type": "", "answers": entries}
    predicted = SimpleNamespace(qa={1: {"answer": "cat"}}, getQuesIds=lambda: [1])
    evaluation = vqa_metric.VQAEval(SimpleNamespace(qa={1: told}), predicted)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation.evaluate()
    return evaluation.accuracy["overall"]


def people(n_cat, is_numbered):
    answers = ["cat"] * n_cat + ["dog"] * (10 - n_cat)
    number = lambda at: {"answer_id": at} if is_numbered else {}
    return [{"answer": it, "answer_confidence": "yes", **number(at)} for at, it in enumerate(answers)]


found = {}
for n_cat in (10, 8, 5, 3):
    found[n_cat] = [accuracy(people(n_cat, is_numbered)) for is_numbered in (True, False)]
    numbered, plain = found[n_cat]
    print(f"{n_cat} of 10 people say cat, and so does the model: {numbered} % as in VQA v2 (answer_id), {plain} % as in VizWiz")
print("The more people agree, the less a right answer is worth.")
assert found[10] == [100.0, 0.0]
assert found[8] == [100.0, 20.0]
assert found[5] == [100.0, 50.0]
assert found[3][0] == 90.0 and found[3][1] == 70.0
PYTHON
