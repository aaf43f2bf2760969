"""Measures the encoders beside PyTorch, and prints the README's table.

    python3 crates/encoder/benches/compare.py --peer PYTHON [--rounds 3] [--repeats 3] [--frames 20] [--only NAME,NAME]

PYTHON has torch. Every round runs both in turn, so that other work on the machine meets both alike;
the fastest window of each is told, and the ratio of a round.
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parents[2] / "xtask"))
from bench import compiled, occasion


def said(command, n_threads):
    many = {name: str(n_threads) for name in ("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=os.environ | many).stdout
    return [float(word) for word in out.split()]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--frames", type=int, default=20, help="of BrainMT")
    parser.add_argument("--only", type=lambda names: names.split(","), help="windows to measure, by their names")
    given = parser.parse_args()
    ours, n_threads = compiled("encoder", "windows"), os.cpu_count()
    print(f"{occasion(given.rounds)}\n")
    print("| window | GFLOP | ours | PyTorch | PyTorch : ours | GFLOP/s, ours | GFLOP/s, PyTorch | peak, ours | peak, PyTorch |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    windows = {
        "brainlm-image": 200,
        "brainlm-region": 200,
        "brainmt": given.frames,
        "cortex-mae": 16,
        "brain-jepa": 160,
        "brain-semantoks": 100,
        "swift": 20,
    }
    for name in given.only or windows:
        n_frames = windows[name]
        rest = [name, str(n_frames), str(given.repeats)]
        peer = [given.peer, str(HERE / "torch_peer.py")]
        gflop = said([*peer, name, str(n_frames), "1", "flops"], n_threads)[3] / 1e9
        rounds = [(said([ours, *rest], n_threads), said([*peer, *rest], n_threads)) for _ in range(given.rounds)]
        a, b = (min(each[side][0] for each in rounds) for side in (0, 1))
        ratio = statistics.median(theirs[0] / mine[0] for mine, theirs in rounds)
        peaks = [max(each[side][2] for each in rounds) / 1e3 for side in (0, 1)]
        row = [f"{name}, {n_frames} frames", f"{gflop:.0f}", f"{a:.2f} s", f"{b:.2f} s", f"{ratio:.2f} ×"]
        row += [f"{gflop / a:.0f}", f"{gflop / b:.0f}", f"{peaks[0]:.0f} MB", f"{peaks[1]:.0f} MB"]
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
