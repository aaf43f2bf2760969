#!/usr/bin/env bash
# networkx's Louvain and greedy communities of a correlation matrix with a negative sum join the nodes that anticorrelate.
# Installs the packages below in a temporary folder; exits non-zero once they behave otherwise.
set -euo pipefail
packages=(networkx==3.6.1 numpy==2.4.6)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "${packages[@]}"
echo "${packages[@]}"
cd "$folder"
venv/bin/python -W ignore - <<'PYTHON'
import networkx as nx
import numpy as np

rng = np.random.default_rng(0)
truth = [set(range(10)), set(range(10, 20))]
series = np.repeat(rng.normal(size=(2, 300)), 10, axis=0) + 0.8 * rng.normal(size=(20, 300))
series -= series.mean(axis=0)  # the global signal
matrix = np.corrcoef(series)
np.fill_diagonal(matrix, 0)
graph = nx.from_numpy_array(matrix)
within = matrix[:10, :10].sum() / 90
print(f"two networks of ten parcels, correlation within {within:.2f}, between {matrix[:10, 10:].mean():.2f}")
print(f"sum of the weights after the global signal is removed: {graph.size(weight='weight'):.2f}")
print(f"modularity of the two networks: {nx.community.modularity(graph, truth):.2f}")
for name, found in (
    ("louvain_communities", nx.community.louvain_communities(graph, seed=0)),
    ("greedy_modularity_communities", nx.community.greedy_modularity_communities(graph, weight="weight")),
):
    mixed = sum(all(part & network for network in truth) for part in found)
    inside = np.mean([matrix[i, j] for part in found for i in part for j in part if i != j])
    score = nx.community.modularity(graph, found)
    print(f"{name}: {len(found)} communities, {mixed} of them across both networks;")
    print(f"  mean correlation inside them {inside:.2f}, modularity {score:.2f}")
    assert mixed == len(found) > 2 and inside < -0.2 and score > 0.3
print("Modularity divides by the sum of the weights: where that is negative, high and low trade places.")
PYTHON
