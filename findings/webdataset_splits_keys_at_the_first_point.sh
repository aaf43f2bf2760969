#!/usr/bin/env bash
# webdataset ends a sample's key at the first point of the file name, so onsets in seconds fall into one sample.
# Installs the packages below in a temporary folder; exits non-zero once they behave otherwise.
set -euo pipefail
packages=(webdataset==1.0.2 numpy==2.4.6)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
echo "${packages[@]}"
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import io
import tarfile

import webdataset


def samples(names):
    with tarfile.open("windows.tar", "w") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 1
            tar.addfile(member, io.BytesIO(b"1"))
    read = list(webdataset.WebDataset("windows.tar", shardshuffle=False))
    return [(sample["__key__"], sorted(name for name in sample if not name.startswith("__"))) for sample in read]


windows = samples(["sub-01/run_1.5s.npy", "sub-01/run_1.7s.npy"])
apart = samples(["a.npy", "b.npy", "a.txt", "b.txt"])
print(f"run_1.5s.npy and run_1.7s.npy: {windows}")
print(f"a.npy b.npy a.txt b.txt, two samples of two parts each: read as {len(apart)} samples")
assert windows == [("sub-01/run_1", ["5s.npy", "7s.npy"])]
assert len(apart) == 4
PYTHON
