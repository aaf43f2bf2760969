"""The shapes of the encoders in plain PyTorch, random weights, one window.

    python torch_peer.py brainlm-image|brainlm-region|brainmt|cortex-mae|brain-jepa|brain-semantoks|swift N_FRAMES REPEATS [flops]

Prints fastest and median seconds and the peak in kB; with `flops` the operations of one window in
products and convolutions, as PyTorch counts them. Attention is scaled_dot_product_attention; the
scan of Mamba is its recurrence, token by token, as its authors' `selective_scan_ref` has it.
"""

import resource
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


class Attention(nn.Module):
    def __init__(self, dim, n_heads, taps=0):
        super().__init__()
        self.qkv, self.out, self.n_heads = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim), n_heads
        pad = (taps // 2, 0)
        self.conv = nn.Conv2d(n_heads, n_heads, (taps, 1), padding=pad, groups=n_heads, bias=False) if taps else None

    def forward(self, xs):
        batch, n, dim = xs.shape
        q, k, v = self.qkv(xs).view(batch, n, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        context = F.scaled_dot_product_attention(q, k, v)
        if self.conv:
            context = context + self.conv(v)
        return self.out(context.transpose(1, 2).reshape(batch, n, dim))


def mlp(dim, hidden):
    return nn.Sequential(nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))


class PreNorm(nn.Module):
    def __init__(self, dim, hidden, n_heads):
        super().__init__()
        self.a, self.m = Attention(dim, n_heads), mlp(dim, hidden)
        self.n1, self.n2 = nn.LayerNorm(dim), nn.LayerNorm(dim)

    def forward(self, xs):
        xs = xs + self.a(self.n1(xs))
        return xs + self.m(self.n2(xs))


class PostNorm(PreNorm):
    def __init__(self, dim, hidden, n_heads, taps):
        super().__init__(dim, hidden, n_heads)
        self.a = Attention(dim, n_heads, taps)

    def forward(self, xs):
        xs = self.n1(xs + self.a(xs))
        return self.n2(xs + self.m(xs))


class Picture(nn.Module):
    """432 × 432 of three equal channels in patches of 16, 12 layers of 768."""

    def __init__(self, _):
        super().__init__()
        self.patches = nn.Conv2d(3, 768, 16, 16)
        self.layers = nn.Sequential(*(PreNorm(768, 3072, 12) for _ in range(12)), nn.LayerNorm(768))
        self.input = torch.randn(1, 1, 432, 432)

    def forward(self):
        tokens = self.patches(self.input.repeat(1, 3, 1, 1)).flatten(2).transpose(1, 2)
        return self.layers(torch.cat([tokens[:, :1], tokens], 1))


class RegionTime(nn.Module):
    """424 parcels × 20 frames a token, 4 layers of 256, a convolution of 65 values."""

    def __init__(self, n_frames):
        super().__init__()
        self.signal = nn.Linear(20, 256)
        self.layers = nn.Sequential(*(PostNorm(256, 1024, 4, 65) for _ in range(4)), nn.LayerNorm(256))
        self.input = torch.randn(1, 424 * n_frames // 20, 20)

    def forward(self):
        tokens = self.signal(self.input)
        return self.layers(torch.cat([tokens[:, :1], tokens], 1))


class ChannelNorm(nn.LayerNorm):
    def forward(self, xs):
        return super().forward(xs.permute(0, 2, 3, 4, 1)).permute(0, 4, 1, 2, 3)


class ConvBlock(nn.Module):
    def __init__(self, dim):
        super().__init__()
        conv = [nn.Conv3d(dim, dim, 3, 1, 1) for _ in range(2)]
        self.inside = nn.Sequential(conv[0], ChannelNorm(dim), nn.GELU("tanh"), conv[1], ChannelNorm(dim))

    def forward(self, xs):
        return xs + self.inside(xs)


class Mixer(nn.Module):
    def __init__(self, dim, states=16):
        super().__init__()
        self.n, self.states, self.rank = 2 * dim, states, dim // 16
        self.norm = nn.RMSNorm(dim)
        self.inside, self.out = nn.Linear(dim, 2 * self.n, bias=False), nn.Linear(self.n, dim, bias=False)
        self.conv = nn.Conv1d(self.n, self.n, 4, padding=3, groups=self.n)
        self.x, self.dt = nn.Linear(self.n, self.rank + 2 * states, bias=False), nn.Linear(self.rank, self.n)
        self.a = nn.Parameter(-torch.rand(self.n, states))
        self.d = nn.Parameter(torch.ones(self.n))

    def forward(self, tokens):
        xs, gate = self.inside(self.norm(tokens)).chunk(2, -1)
        n_tokens = xs.shape[1]
        xs = F.silu(self.conv(xs.transpose(1, 2))[..., :n_tokens].transpose(1, 2))
        delta, b, c = self.x(xs).split([self.rank, self.states, self.states], -1)
        delta = F.softplus(self.dt(delta))
        state, ys = torch.zeros(self.n, self.states), torch.empty(n_tokens, self.n)
        for t in range(n_tokens):
            step = delta[0, t, :, None]
            state = torch.exp(step * self.a) * state + step * b[0, t] * xs[0, t, :, None]
            ys[t] = state @ c[0, t]
        ys = ys[None] + xs * self.d
        return tokens + self.out(ys * F.silu(gate))


class BrainMt(nn.Module):
    """Volumes of 91 × 109 × 91 to 252 cells each, 12 mixers and 8 blocks of attention of 512."""

    def __init__(self, n_frames):
        super().__init__()
        halving = lambda a, b: nn.Conv3d(a, b, 3, 2, 1)  # noqa: E731
        self.stem = nn.Sequential(
            halving(1, 64), nn.ReLU(), halving(64, 128), nn.ReLU(),
            ConvBlock(128), halving(128, 256), ConvBlock(256), halving(256, 512),
        )
        self.mixers = nn.Sequential(*(Mixer(512) for _ in range(12)), nn.RMSNorm(512))
        self.blocks = nn.ModuleList(Attention(512, 2) for _ in range(8))
        self.norm, self.mlp = nn.LayerNorm(512), mlp(512, 1024)
        self.input = torch.randn(n_frames, 1, 109, 91, 91)

    def forward(self):
        cells = torch.cat([self.stem(part).flatten(2) for part in self.input.split(4)])
        tokens = cells.permute(2, 0, 1).reshape(1, -1, 512)
        xs = self.mixers(torch.cat([tokens[:, :1], tokens], 1))
        for block in self.blocks:
            xs = xs + block(self.norm(xs))
            xs = xs + self.mlp(self.norm(xs))
        return xs


class CortexMae(nn.Module):
    """400 parcels × 4 frames a token, time by time, 12 layers of 768."""

    def __init__(self, n_frames):
        super().__init__()
        times = n_frames // 4
        self.patches = nn.Linear(4, 768)
        self.time, self.place = nn.Parameter(torch.randn(times, 1, 768)), nn.Parameter(torch.randn(1, 400, 768))
        self.layers = nn.Sequential(*(PreNorm(768, 3072, 12) for _ in range(12)), nn.LayerNorm(768))
        self.input = torch.randn(times, 4, 400)

    def forward(self):
        tokens = self.patches(self.input.transpose(1, 2)) + self.time + self.place
        tokens = tokens.reshape(1, -1, 768)
        return self.layers(torch.cat([tokens[:, :1], tokens], 1))


class BrainJepa(nn.Module):
    """450 parcels × 16 frames a token, parcel by parcel, places along 30 gradients, 12 layers of 768."""

    def __init__(self, n_frames):
        super().__init__()
        times = n_frames // 16
        self.patches, self.place = nn.Linear(16, 768), nn.Linear(30, 384)
        self.time, self.gradients = torch.randn(1, times, 384), torch.randn(450, 30)
        self.layers = nn.Sequential(*(PreNorm(768, 3072, 12) for _ in range(12)), nn.LayerNorm(768))
        self.input = torch.randn(450, times, 16)

    def forward(self):
        places = self.place(self.gradients)
        places = (places - places.min()) / (places.max() - places.min()) * 2 - 1
        shape = (450, self.time.shape[1], 384)
        where = torch.cat([self.time.expand(shape), places[:, None].expand(shape)], 2)
        return self.layers((self.patches(self.input) + where).reshape(1, -1, 768))


class Tokenizer(nn.Module):
    """A dense and a long kernel over the frames of a network's parcels, their mean, a norm."""

    def __init__(self, n_rois, width=384, length=16):
        super().__init__()
        heads = -(-width // n_rois)
        self.dense = nn.Conv1d(n_rois, width, 3, padding=1)
        self.long = nn.Conv1d(n_rois, n_rois * heads, length, groups=n_rois, bias=False)
        self.skip, self.project = nn.Parameter(torch.randn(n_rois, heads)), nn.Linear(n_rois * heads, width)
        self.norm, self.pad = nn.LayerNorm(2 * width), ((length - 1) // 2, length // 2)

    def forward(self, xs):
        long = self.long(F.pad(xs, self.pad)) + (xs[:, :, None] * self.skip[..., None]).flatten(1, 2)
        long = self.project(long.transpose(1, 2)).transpose(1, 2)
        return self.norm(F.gelu(torch.cat([self.dense(xs), long], 1)).mean(2))


class Semantoks(nn.Module):
    """457 parcels in 9 networks, 100 frames in 5 tokens a network, 8 layers of 768."""

    ROIS = [61, 77, 46, 47, 26, 52, 91, 50, 7]

    def __init__(self, n_frames):
        super().__init__()
        self.tokenizers = nn.ModuleList(Tokenizer(n) for n in self.ROIS)
        self.layers = nn.Sequential(*(PreNorm(768, 3072, 12) for _ in range(8)), nn.LayerNorm(768))
        self.input = torch.randn(n_frames // 20, sum(self.ROIS), 20)

    def forward(self):
        parts = self.input.split(self.ROIS, 1)
        tokens = torch.cat([tokenize(part) for tokenize, part in zip(self.tokenizers, parts)])[None]
        return self.layers(torch.cat([tokens[:, :1], tokens], 1))


class Windowed(nn.Module):
    """A block of attention inside of windows of a grid `(x, y, z, t)`, shifted or not."""

    def __init__(self, dim, n_heads, grid, window, shifted):
        super().__init__()
        self.qkv, self.out, self.n_heads = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim), n_heads
        self.n1, self.n2, self.m = nn.LayerNorm(dim), nn.LayerNorm(dim), mlp(dim, 4 * dim)
        self.window = [min(n, w) for n, w in zip(grid, window)]
        self.shift = [w // 2 if shifted and n > w else 0 for n, w in zip(grid, window)]
        self.grid, self.mask = grid, None
        if any(self.shift):
            region = torch.zeros(1, *grid, 1)
            for axis, (w, s) in enumerate(zip(self.window, self.shift)):
                for part in (slice(-w, -s), slice(-s, None)) if s else ():
                    at = [slice(None)] * 6
                    at[axis + 1] = part
                    region[tuple(at)] = 3 * region[tuple(at)] + (1 if part.stop else 2)
            region = self.divide(region)[..., 0]
            self.mask = torch.where(region[:, :, None] == region[:, None], 0.0, -100.0)[:, None]

    def divide(self, xs):
        b, c = xs.shape[0], xs.shape[-1]
        sides = [side for n, w in zip(self.grid, self.window) for side in (n // w, w)]
        return xs.view(b, *sides, c).permute(0, 1, 3, 5, 7, 2, 4, 6, 8, 9).reshape(-1, torch.Size(self.window).numel(), c)

    def join(self, xs):
        counts = [n // w for n, w in zip(self.grid, self.window)]
        xs = xs.view(1, *counts, *self.window, -1).permute(0, 1, 5, 2, 6, 3, 7, 4, 8, 9)
        return xs.reshape(1, *self.grid, xs.shape[-1])

    def forward(self, xs):
        axes = (1, 2, 3, 4)
        windows = self.divide(torch.roll(self.n1(xs), [-s for s in self.shift], axes))
        n, size, dim = windows.shape
        q, k, v = self.qkv(windows).view(n, size, 3, self.n_heads, -1).permute(2, 0, 3, 1, 4)
        seen = F.scaled_dot_product_attention(q, k, v, self.mask)
        seen = self.join(self.out(seen.transpose(1, 2).reshape(n, size, dim)))
        xs = xs + torch.roll(seen, self.shift, axes)
        return xs + self.m(self.n2(xs))


class Swift(nn.Module):
    """Volumes of 96 a side in patches of 6, four stages of windows of 4, the last over the whole grid."""

    def __init__(self, n_frames):
        super().__init__()
        self.patches = nn.Linear(216, 36)
        self.stages, self.merges, side, dim = nn.ModuleList(), nn.ModuleList(), 16, 36
        for depth, n_heads in zip([2, 2, 6, 2], [3, 6, 12, 24]):
            grid, last = [side, side, side, n_frames], side == 2
            blocks = (Windowed(dim, n_heads, grid, [4] * 4, at % 2 and not last) for at in range(depth))
            self.stages.append(nn.Sequential(*blocks))
            if not last:
                self.merges.append(nn.Sequential(nn.LayerNorm(8 * dim), nn.Linear(8 * dim, 2 * dim, bias=False)))
            side, dim = side // 2, 2 * dim
        self.input = torch.randn(16, 6, 16, 6, 16, 6, n_frames)

    def forward(self):
        xs = self.patches(self.input.permute(0, 2, 4, 6, 1, 3, 5).reshape(1, 16, 16, 16, -1, 216))
        for at, stage in enumerate(self.stages):
            xs = stage(xs)
            if at < 3:
                corners = [(i, j, k) for i in range(2) for j in range(2) for k in range(2)]
                xs = self.merges[at](torch.cat([xs[:, i::2, j::2, k::2] for i, j, k in corners], -1))
        return xs


def main():
    name, n_frames, repeats, *rest = sys.argv[1:]
    torch.manual_seed(1)
    networks = {
        "brainlm-image": Picture,
        "brainlm-region": RegionTime,
        "brainmt": BrainMt,
        "cortex-mae": CortexMae,
        "brain-jepa": BrainJepa,
        "brain-semantoks": Semantoks,
        "swift": Swift,
    }
    made = networks[name](int(n_frames)).eval()
    seconds = []
    with torch.inference_mode():
        for _ in range(int(repeats)):
            start = time.perf_counter()
            made()
            seconds.append(time.perf_counter() - start)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(f"{min(seconds):.4f} {statistics.median_high(seconds):.4f} {peak}", end="")
        if rest == ["flops"]:
            # the fused kernel counts as nothing: its products are counted one by one
            with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
                made()
            print(f" {counter.get_total_flops()}", end="")
    print()


if __name__ == "__main__":
    main()
