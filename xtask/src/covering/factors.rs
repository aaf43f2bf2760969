//! What pipelines are made of.

use std::fmt::{self, Write as _};

use super::{
    cohort::{N_FRAMES, N_PARCELS, ROWS, SHAPE},
    pairwise,
};

/// How many combinations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// A few factors of a few levels, for the tests.
    Small,
    /// Every pair of all levels.
    Whole,
}

/// A factor: its name and its levels. Levels of the small array come first.
struct Factor {
    name: &'static str,
    levels: &'static [&'static str],
    n_small: usize,
}

const FACTORS: [Factor; 7] = [
    Factor {
        name: "cohort",
        levels: &[
            "pairs",
            "bids",
            "manifest",
            "hdf5",
            "pairs_series",
            "manifest_tensors",
            "manifest_series",
        ],
        n_small: 4,
    },
    Factor {
        name: "preparation",
        levels: &[
            "voxels",
            "parcels",
            "volumes",
            "both",
            "denoised",
            "resampled",
            "whitened",
            "raw",
        ],
        n_small: 4,
    },
    Factor {
        name: "encoder",
        levels: &[
            "voxel_frames",
            "connectivity",
            "brainmt",
            "stored",
            "brainlm",
            "brain_jepa",
            "cortex_mae",
        ],
        n_small: 4,
    },
    Factor { name: "trainable", levels: &["none", "last", "lora"], n_small: 2 },
    Factor {
        name: "windows",
        levels: &["tiled", "centre", "long", "random", "padded", "odd"],
        n_small: 3,
    },
    Factor {
        name: "outputs",
        levels: &[
            "render",
            "embed",
            "maps",
            "generate",
            "encode",
            "embed_class",
            "embed_motion",
            "finetune",
            "evaluate",
        ],
        n_small: 4,
    },
    Factor { name: "repeat", levels: &["none", "split", "seeds", "folds"], n_small: 2 },
];

/// One level of each factor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Combination([&'static str; 7]);

impl fmt::Display for Combination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let levels = FACTORS.iter().zip(self.0);
        let words: Vec<String> =
            levels.map(|(factor, level)| format!("{} {level}", factor.name)).collect();
        f.write_str(&words.join(", "))
    }
}

/// Every two levels meet in one of these. Most are refused, because most encoders read one preparation; so
/// every two levels that can meet in a pipeline of which the parts belong together do so once more.
pub(super) fn combinations(size: Size) -> Vec<Combination> {
    let n_levels = FACTORS.each_ref().map(|factor| match size {
        Size::Small => factor.n_small,
        Size::Whole => factor.levels.len(),
    });
    let row = |row: Vec<usize>| {
        let mut levels = [""; 7];
        for ((level, factor), at) in levels.iter_mut().zip(&FACTORS).zip(row) {
            *level = factor.levels[at];
        }
        Combination(levels)
    };
    let mut all: Vec<Combination> = pairwise::rows(&n_levels).into_iter().map(row).collect();
    if size == Size::Whole {
        let every = every_row(&n_levels).into_iter();
        let belong = every.filter(|it| row(it.clone()).belongs_together()).collect();
        all.extend(pairwise::chosen(belong).into_iter().map(row));
    }
    let some = if size == Size::Small { 3 } else { TOGETHER.len() };
    all.extend(TOGETHER[..some].iter().map(|it| Combination(*it)));
    all
}

/// The product of all levels.
fn every_row(n_levels: &[usize]) -> Vec<Vec<usize>> {
    let none = vec![Vec::new()];
    n_levels.iter().fold(none, |rows, &n| {
        let longer = |row: &Vec<usize>| {
            let row = row.clone();
            (0..n).map(move |level| [&row[..], &[level]].concat()).collect::<Vec<_>>()
        };
        rows.iter().flat_map(longer).collect()
    })
}

/// Pipelines whose parts belong together, so that late stages are reached.
const TOGETHER: [[&str; 7]; 16] = [
    ["pairs", "whitened", "voxel_frames", "none", "tiled", "maps", "none"],
    ["pairs", "parcels", "connectivity", "none", "tiled", "render", "none"],
    ["hdf5", "parcels", "connectivity", "none", "padded", "embed", "split"],
    ["pairs", "both", "brainmt", "none", "centre", "render", "seeds"],
    ["pairs", "volumes", "brainmt", "last", "tiled", "evaluate", "none"],
    ["pairs", "parcels", "brainlm", "lora", "tiled", "generate", "none"],
    ["pairs", "denoised", "brain_jepa", "none", "random", "render", "none"],
    ["pairs", "resampled", "cortex_mae", "none", "centre", "evaluate", "none"],
    ["pairs", "parcels", "voxel_frames", "none", "tiled", "render", "folds"],
    ["pairs_series", "parcels", "connectivity", "none", "tiled", "render", "folds"],
    ["pairs_series", "parcels", "stored", "none", "tiled", "evaluate", "seeds"],
    ["bids", "denoised", "brainlm", "none", "tiled", "embed_class", "split"],
    ["bids", "both", "brainmt", "none", "tiled", "embed_motion", "seeds"],
    ["manifest", "resampled", "connectivity", "none", "random", "embed_motion", "none"],
    ["manifest_tensors", "volumes", "brainmt", "none", "tiled", "embed", "none"],
    ["manifest_series", "parcels", "brainlm", "none", "tiled", "embed", "seeds"],
];

impl Combination {
    /// Whether a user could mean it: the cohort has what the outputs need, and the preparation what the
    /// encoder reads. What `check` and `run` make of it is not decided here.
    fn belongs_together(&self) -> bool {
        let [cohort, preparation, encoder, trainable, windows, outputs, repeat] = self.0;
        let of_voxels = ["voxels", "whitened"].contains(&preparation);
        let of_volumes = ["volumes", "both"].contains(&preparation);
        let embeds = ["encode", "embed", "embed_class", "embed_motion"].contains(&outputs);
        let is_paired = cohort.starts_with("pairs");
        let has_images = ["pairs", "bids", "manifest", "manifest_tensors"].contains(&cohort);
        let reads = match encoder {
            "brainmt" => of_volumes && has_images,
            "voxel_frames" => preparation != "volumes" && !embeds,
            "brainlm" => ["parcels", "denoised", "resampled", "both"].contains(&preparation),
            _ => !of_voxels && preparation != "volumes",
        };
        let fills = match encoder {
            "brainmt" | "brain_jepa" | "cortex_mae" => {
                ["tiled", "centre", "random"].contains(&windows)
            }
            "brainlm" | "voxel_frames" => windows != "odd" && windows != "long",
            _ => windows != "long",
        };
        let moves = match encoder {
            "connectivity" | "stored" | "voxel_frames" => trainable == "none",
            _ => trainable == "none" || !embeds,
        };
        let divided = match repeat {
            "folds" => is_paired,
            "split" => !is_paired,
            _ => true,
        };
        let has_confounds = ["pairs", "bids", "manifest"].contains(&cohort);
        reads
            && fills
            && moves
            && divided
            && (is_paired || embeds)
            && (!of_voxels || cohort == "pairs" && !embeds)
            && (outputs != "maps" || of_voxels)
            && (outputs != "embed_class" || ["brainlm", "brainmt"].contains(&encoder))
            && (outputs != "embed_motion" && preparation != "denoised" || has_confounds)
            && (cohort != "manifest_tensors" || preparation == "volumes")
            && (cohort == "manifest_tensors" || has_images || !of_volumes)
    }

    fn level(&self, name: &str) -> &'static str {
        let at = FACTORS.iter().position(|factor| factor.name == name).expect("a factor");
        self.0[at]
    }

    /// Its pipeline file, beside the files of the cohort.
    pub(super) fn pipeline(&self, name: &str) -> String {
        let root = crate::repository();
        let root = root.display();
        format!(
            "name: {name}\nseed: 1\ncohort:\n{}model:\n  encoder: {}\n  resampler: {{ n_latents: 4, \
             depth: 1, n_heads: 2, head_dim: 8, ff_mult: 2 }}\n  gates: {{ every: 1, n_heads: 2, \
             head_dim: 8, ff_mult: 2 }}\n  lm: {{ hf: {root}/fixtures/tiny-lm }}\nstages:\n{}{}{}\
             outputs: runs\n",
            self.cohort(&root.to_string()),
            self.encoder(),
            self.preparation(),
            self.outputs(),
            self.repeat(),
        )
    }

    fn cohort(&self, root: &str) -> String {
        let split = match (self.level("cohort"), self.level("repeat")) {
            // a file of series says no split, but shares can be drawn
            ("hdf5", "split") => {
                "    split: { fractions: { train: 0.5, validation: 0.25, test: 0.25, seed: 1 } }\n"
            }
            (_, "split") => "    split: { column: split }\n",
            _ => "",
        };
        let pairs = |table: &str| {
            format!(
                "  pairs:\n    table: {table}\n    split_unit: subject\n    slots: {{ file: \
                 {root}/configs/slots/sides_v1.yaml }}\n    prompt: \"Technique: {{technique}}\\n\"\n"
            )
        };
        match self.level("cohort") {
            "pairs" => pairs("pairs.csv"),
            "pairs_series" => pairs("pairs_series.csv"),
            "bids" => format!("  bids:\n    dir: bids\n    entities: {{ task: [rest] }}\n{split}"),
            "hdf5" => format!("  hdf5:\n    file: stack.h5\n{split}"),
            "manifest" => format!("  manifest:\n    table: people.csv\n{split}"),
            "manifest_series" => {
                format!("  manifest:\n    table: series.csv\n    t_r: 0.735\n{split}")
            }
            _ => format!("  manifest:\n    table: tensors.csv\n    t_r: 0.735\n{split}"),
        }
    }

    fn encoder(&self) -> String {
        let trainable = match self.level("trainable") {
            "none" => "",
            "last" => ", trainable: { last_n_blocks: 1 }",
            _ => ", trainable: { lora: { rank: 2, alpha: 4 } }",
        };
        let n = N_PARCELS;
        match self.level("encoder") {
            "voxel_frames" => format!("{{ voxel_frames: {{ dim: 8, n_groups: 2{trainable} }} }}"),
            "connectivity" => format!("{{ connectivity: {{ tokens: all{trainable} }} }}"),
            "stored" => format!(
                "{{ stored: {{ dim: 4, tokens: {{ file: tokens.safetensors }}{trainable} }} }}"
            ),
            "brainmt" => format!(
                "{{ brainmt: {{ weights: {{ seed: 1 }}, size: {{ embed_dim: 16, depth: [1, 1], \
                 n_heads: 2, n_frames: 20, n_cells: 1 }}, tokens: data_only{trainable} }} }}"
            ),
            "brainlm" => format!(
                "{{ brainlm: {{ network: {{ region_time: {{ hidden_size: 8, num_hidden_layers: 1, \
                 num_attention_heads: 2, intermediate_size: 16, decoder_num_hidden_layers: 1, \
                 decoder_num_attention_heads: 2, decoder_intermediate_size: 16, num_brain_voxels: {n}, \
                 num_timepoints_per_voxel: 40, timepoint_patching_size: 10, mask_ratio: 0.2 }} }}, \
                 weights: {{ seed: 1 }}, tokens: data_only{trainable} }} }}"
            ),
            other => format!(
                "{{ {other}: {{ weights: {{ seed: 1 }}, size: {{ dim: 8, depth: 1, n_heads: 2, \
                 n_parcels: {n}, n_frames: 20, patch: 10{} }}, tokens: time_mean{trainable} }} }}",
                if other == "brain_jepa" { ", n_gradients: 3" } else { "" }
            ),
        }
    }

    fn preparation(&self) -> String {
        const PARCELLATE: &str = "  - parcellate: { atlas: { id: A424, labels: labels.nii.gz } }\n";
        const DENOISE: &str = "  - denoise: { signal: { detrend: linear, filter: none, standardize: \
                               none, standardize_confounds: true, extrapolate: false, nilearn_compat: \
                               false }, confounds: { columns: { motion: basic, demean: true } } }\n";
        const RESAMPLE: &str =
            "  - resample_time: { t_r_s: 0.72, tolerance_s: 0.001, how: linear }\n";
        const NORMALISE: &str = "  - normalise: { formula: robust_paper, pool_frames: 20 }\n";
        // arrays do not say where their voxels lie
        let space = if self.level("cohort") == "manifest_tensors" {
            format!(", tensors: {{ space: {{ affine: {ROWS:?} }} }}")
        } else {
            String::new()
        };
        let volumes = format!(
            "  - volumes: {{ shape: {SHAPE:?}, axes: LAS, background: minimum, half: true{space} }}\n"
        );
        let mask = "  - mask: { above_mean: 0.2 }\n  - clean: { detrend: linear, standardize: \
                    zscore_sample }\n  - event_windows: { shift_s: 0.0, n_frames: 20 }\n";
        let stages: Vec<&str> = match self.level("preparation") {
            "voxels" => vec![mask],
            "whitened" => vec![mask, "  - whiten: { shrinkage: { fixed: 0.5 } }\n"],
            "parcels" => vec![PARCELLATE, NORMALISE],
            "raw" => vec![PARCELLATE],
            "volumes" => vec![&volumes],
            "both" => vec![PARCELLATE, NORMALISE, &volumes],
            "denoised" => vec![PARCELLATE, DENOISE, NORMALISE],
            _ => vec![PARCELLATE, RESAMPLE, NORMALISE],
        };
        let mut text = stages.concat();
        if ["voxels", "whitened"].contains(&self.level("preparation")) {
            return text;
        }
        let (n_frames, policy, pad) = match self.level("windows") {
            "tiled" => (20, "{ tiled: { stride: 10 } }", "refuse"),
            "centre" => (20, "centre", "refuse"),
            "random" => (20, "{ random: { n: 3, seed: 1 } }", "refuse"),
            "long" => (N_FRAMES + 10, "centre", "refuse"),
            "padded" => (N_FRAMES + 10, "centre", "repeat"),
            _ => (7, "{ tiled: { stride: 7 } }", "refuse"),
        };
        let _ = write!(
            text,
            "  - sliding_windows: {{ n_frames: {n_frames}, policy: {policy}, pad: {pad} }}\n  - encode: {{ \
             precision: f32 }}\n"
        );
        text
    }

    fn outputs(&self) -> String {
        const FINETUNE: &str = "  - finetune: { steps: 1, batch_size: 2, validate_every: 1 }\n";
        const GENERATE: &str = "  - generate: { max_new_tokens: 16, batch_size: 4 }\n";
        const EVALUATE: &str = "  - evaluate: { bootstrap: 2000, permutations: 999, shuffles: 100, \
                                logistic_c: 1.0, batch_size: 8 }\n";
        const RENDER: [&str; 2] =
            ["  - render: { window_maps: false }\n", "  - render: { window_maps: true }\n"];
        let embed = |window: &str, run: &str| {
            format!("  - embed: {{ strategy: covering_v1, window: {window}, run: {run} }}\n")
        };
        match self.level("outputs") {
            "encode" => String::new(),
            "embed" => embed("mean", "mean"),
            "embed_class" => embed("cls", "mean"),
            "embed_motion" => embed("mean", "inverse_fd"),
            "finetune" => FINETUNE.to_owned(),
            "generate" => [FINETUNE, GENERATE].concat(),
            "evaluate" => [FINETUNE, GENERATE, EVALUATE].concat(),
            "render" => [FINETUNE, GENERATE, EVALUATE, RENDER[0]].concat(),
            _ => [FINETUNE, GENERATE, EVALUATE, RENDER[1]].concat(),
        }
    }

    fn repeat(&self) -> &'static str {
        match self.level("repeat") {
            "seeds" => "repeat: { seeds: [1, 2] }\n",
            "folds" => "repeat: { seeds: [1], folds: { unit: subject, size: 2, validation: 2 } }\n",
            _ => "",
        }
    }
}
