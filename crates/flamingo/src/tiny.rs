//! A tiny model in double precision, for the tests of generation and likelihood.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::{DType, Device, Result, Tensor, bail};
use encoder::{EncoderInput, InputShape};
use lm::{Cache, CausalLm, Llama, LlamaConfig, LmShape, Step};
use nn::weights::{Frozen, Variables};

use crate::{Compat, Flamingo, FlamingoConfig, MediaView, Prompts};

/// `<|endofchunk|>` of the tiny vocabulary: ten base tokens come before it.
pub(crate) const END: u32 = 10;
/// `<image>` of the tiny vocabulary.
pub(crate) const IMAGE: u32 = 11;

const N_FRAMES: usize = 4;
const N_VOXELS: usize = 5;
const INPUT: InputShape = InputShape::Window { n_frames: N_FRAMES, n_voxels: N_VOXELS };

/// A LLaMA that fails once `fuse` blocks have run.
struct Fused {
    lm: Llama,
    fuse: &'static AtomicUsize,
}

impl CausalLm for Fused {
    fn shape(&self) -> &LmShape {
        self.lm.shape()
    }

    fn embed(&self, ids: &Tensor) -> Result<Tensor> {
        self.lm.embed(ids)
    }

    fn block(
        &self,
        idx: usize,
        xs: &Tensor,
        step: &Step,
        cache: Option<&mut Cache>,
    ) -> Result<Tensor> {
        let lit =
            self.fuse.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        if lit == Ok(1) {
            bail!("the fuse is burnt")
        }
        self.lm.block(idx, xs, step, cache)
    }

    fn norm(&self, xs: &Tensor) -> Result<Tensor> {
        self.lm.norm(xs)
    }

    fn head(&self, xs: &Tensor) -> Result<Tensor> {
        self.lm.head(xs)
    }
}

/// Random weights and open gates; fails at the `fuse`-th block from when it is set.
pub(crate) fn fused(fuse: &'static AtomicUsize, compat: Compat) -> Flamingo {
    let (frozen, trained) = (Variables::default(), Variables::default());
    let config = LlamaConfig::tiny(10);
    Llama::new(&config, frozen.builder(8, DType::F64)).unwrap();
    let mut tensors = frozen.tensors();
    // far from uniform, so that the likeliest token depends on all before it
    for (name, tensor) in &mut tensors {
        if !name.contains("norm") {
            *tensor = (&*tensor * 12.).unwrap();
        }
    }
    let constants = Frozen::from_tensors(Path::new("lm"), tensors);
    let lm = Llama::new(&config, constants.builder(DType::F64)).unwrap();
    let vb = trained.builder(3, DType::F64);
    let encoder = vb.pp("encoder");
    let config = FlamingoConfig { compat, ..crate::flamingo::tests::config() };
    let model =
        Flamingo::new(&config, INPUT, Box::new(Fused { lm, fuse }), 10..12, encoder, vb).unwrap();
    for (name, var) in trained.all() {
        let scaled = if name.ends_with("_gate") {
            Tensor::full(0.8f64, 1, &Device::Cpu).unwrap()
        } else if name.ends_with("special_rows") {
            (var.as_tensor() * 12.).unwrap()
        } else {
            continue;
        };
        var.set(&scaled).unwrap();
    }
    model
}

static NO_FUSE: AtomicUsize = AtomicUsize::new(0);

/// The same without a fuse.
pub(crate) fn model() -> Flamingo {
    fused(&NO_FUSE, Compat::None)
}

/// The same with OpenFlamingo's faults.
pub(crate) fn compatible() -> Flamingo {
    fused(&NO_FUSE, Compat::OpenFlamingo)
}

/// One row of scans for each seed, `n_media` a row.
pub(crate) fn encode_media(model: &Flamingo, seeds: &[u64], n_media: usize) -> MediaView {
    let n = n_media * N_FRAMES * N_VOXELS;
    let values: Vec<f64> =
        seeds.iter().flat_map(|&seed| nn::seeded::normal(seed, "scan", n, 0., 2.)).collect();
    let shape = (seeds.len(), n_media, 1, N_FRAMES, N_VOXELS);
    let values = Tensor::from_vec(values, shape, &Device::Cpu).unwrap();
    model.encode_media(&EncoderInput::new(values)).unwrap()
}

/// Four prompts of different length: two scans, one late scan, none, one scan.
pub(crate) fn rows() -> Vec<Vec<u32>> {
    vec![vec![IMAGE, 3, 7, END, IMAGE, 2], vec![1, 4, IMAGE], vec![5, 5, 9, 0], vec![IMAGE, 6]]
}

/// These rows of [`rows`], padded on the left.
pub(crate) fn prompts(picked: &[usize]) -> Prompts {
    let all = rows();
    Prompts::left_padded(picked.iter().map(|&row| all[row].clone()).collect(), IMAGE)
}

/// The scans of these rows.
pub(crate) fn scans(model: &Flamingo, picked: &[usize]) -> MediaView {
    let seeds: Vec<u64> = picked.iter().map(|&row| row as u64).collect();
    encode_media(model, &seeds, 2)
}
