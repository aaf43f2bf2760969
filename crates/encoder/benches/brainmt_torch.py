"""BrainMT of the published size in plain PyTorch, timed part by part: the peer of brainmt.rs.

    python brainmt_torch.py N_FRAMES [forward|both]

mamba-ssm's scan is a CUDA kernel, so the scan here is what plain PyTorch does best: chunks of tokens, and within
a chunk a doubling of steps over all tokens at once. Weights are random; only times and memory mean something.
"""
import resource
import sys
import time

import torch
import torch.nn.functional as F

DIM, LAYERS, BLOCKS, HEADS, STATES, CHUNK = 512, 12, 8, 2, 16, 64
CHANNELS, RANK = 2 * DIM, DIM // 16


def norm_channels(x):
    return F.layer_norm(x.movedim(1, -1), x.shape[1:2]).movedim(-1, 1)


def residual(x, w):
    y = F.gelu(norm_channels(F.conv3d(x, w[0], padding=1)), approximate="tanh")
    return x + norm_channels(F.conv3d(y, w[1], padding=1))


def stem(frames, w):
    cells = []
    for x in frames.split(4):
        x = F.relu(F.conv3d(x, w["first"], stride=2, padding=1))
        x = residual(F.relu(F.conv3d(x, w["second"], stride=2, padding=1)), w["block0"])
        x = residual(F.conv3d(x, w["down0"], stride=2, padding=1), w["block1"])
        cells.append(F.conv3d(x, w["down1"], stride=2, padding=1).flatten(2))
    return torch.cat(cells).movedim(1, 2)  # frame, cell, channel


def scan(x, delta, b, c, a, skip):
    state = torch.zeros(CHANNELS, STATES)
    out = []
    for x, delta, b, c in zip(*(t.split(CHUNK) for t in (x, delta, b, c))):
        decay = torch.exp(delta[:, :, None] * a)
        written = (delta * x)[:, :, None] * b[:, None, :]
        written[0] += decay[0] * state
        step = 1
        while step < len(x):
            written = torch.cat([written[:step], written[step:] + decay[step:] * written[:-step]])
            decay = torch.cat([decay[:step], decay[step:] * decay[:-step]])
            step *= 2
        state = written[-1]
        out.append((written @ c[:, :, None])[:, :, 0] + skip * x)
    return torch.cat(out)


def branch(x, w):
    n = len(x)
    x = F.silu(F.conv1d(x.T[None], w["conv"], padding=3, groups=CHANNELS)[0, :, :n].T)
    low, b, c = (x @ w["x"]).split([RANK, STATES, STATES], 1)
    return scan(x, F.softplus(low @ w["dt"]), b, c, -w["a"], 1.0)


def mixer(u, w):
    x, z = (u @ w["in"]).chunk(2, 1)
    y = branch(x, w)
    if w["both"]:
        y = y + branch(x.flip(0), w).flip(0)
    return (y * F.silu(z)) @ w["out"]


def attend(x, w):
    n = len(x)
    qkv = (F.layer_norm(x, (DIM,)) @ w["qkv"]).view(n, 3, HEADS, DIM // HEADS).permute(1, 2, 0, 3)
    x = x + F.scaled_dot_product_attention(*qkv[:, None].unbind(0))[0].movedim(0, 1).reshape(n, DIM) @ w["proj"]
    return x + F.gelu(F.layer_norm(x, (DIM,)) @ w["fc1"]) @ w["fc2"]


def weights(both):
    def new(*shape):
        fan_in = shape[0] if len(shape) == 2 else torch.Size(shape[1:]).numel()
        return torch.randn(shape) / fan_in**0.5

    conv = lambda i, o: new(o, i, 3, 3, 3)
    d = DIM
    w = {"first": conv(1, d // 8), "second": conv(d // 8, d // 4), "block0": [conv(d // 4, d // 4) for _ in "12"]}
    w |= {"down0": conv(d // 4, d // 2), "block1": [conv(d // 2, d // 2) for _ in "12"], "down1": conv(d // 2, d)}
    layer = {"in": new(d, 2 * CHANNELS), "conv": new(CHANNELS, 1, 4), "x": new(CHANNELS, RANK + 2 * STATES)}
    layer |= {"dt": new(RANK, CHANNELS), "a": torch.rand(CHANNELS, STATES) + 0.5, "out": new(CHANNELS, d), "both": both}
    block = {"qkv": new(d, 3 * d), "proj": new(d, d), "fc1": new(d, 2 * d), "fc2": new(2 * d, d)}
    return w, layer, block


@torch.inference_mode()
def main():
    n_frames, both = int(sys.argv[1]), sys.argv[2:] == ["both"]
    torch.manual_seed(0)
    w, layer, block = weights(both)
    frames = torch.randn(1, 1, 109, 91, 91).repeat(n_frames, 1, 1, 1, 1)
    times = [time.perf_counter()]
    x = stem(frames, w).movedim(0, 1).reshape(-1, DIM)  # cell by cell, time fastest
    x = torch.cat([torch.randn(1, DIM), x])
    times.append(time.perf_counter())
    for _ in range(LAYERS):
        x = x + mixer(F.rms_norm(x, (DIM,)), layer)
    times.append(time.perf_counter())
    for _ in range(BLOCKS):
        x = attend(x, block)
    times.append(time.perf_counter())
    for name, start, end in zip(("stem", "scans", "attention"), times, times[1:]):
        print(f"{name:9} {end - start:7.2f} s")
    print(f"{'all':9} {times[-1] - times[0]:7.2f} s")
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB, {torch.get_num_threads()} threads")


if __name__ == "__main__":
    main()
