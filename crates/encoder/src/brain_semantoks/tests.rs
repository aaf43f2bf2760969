use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Result, Tensor};
use nn::gradcheck::{check, sample};
use nn::weights::{Frozen, Outline, Variables, save};

use super::*;
use crate::published::{Published, Unsaid};
use crate::{EncoderConfig, FrozenEncoder, InputShape, TokenPolicy, Trainable, WeightsSource};

fn tiny() -> BrainSemantoksSize {
    BrainSemantoksSize {
        depth: 1,
        n_heads: 2,
        hidden: 6,
        networks: vec![[1, 1], [0, 2], [1, 1]],
        n_frames: 16,
        patch: 8,
        branches: vec![
            SemantoksBranch::Dense(DenseBranch { channels: 3, kernel: 3, dilation: 1 }),
            SemantoksBranch::Structured(StructuredBranch { channels: 3, kernel: 2, scales: 3 }),
        ],
        ..BrainSemantoksSize::default()
    }
}

const INPUT: InputShape = InputShape::Window { n_frames: 16, n_voxels: 4 };

fn config(weights: WeightsSource) -> BrainSemantoksConfig {
    let (size, tokens) = (Some(tiny()), TokenPolicy::All);
    BrainSemantoksConfig { weights, size, trainable: Trainable::None, tokens }
}

// the README of the recorded cases: 62.8 million numbers, of which the tokenizers of two further
// atlases, a norm that is never applied, the sines and the flags are not asked for
#[test]
fn the_published_size_has_the_originals_number_of_parameters() -> Result<()> {
    let outline = Outline::default();
    let size = BrainSemantoksSize::default();
    BrainSemantoks::new(&size, outline.builder())?;
    let of_tokenizers: usize = outline
        .shapes()
        .iter()
        .filter(|(name, _)| name.starts_with("tokenizers."))
        .map(|(_, shape)| shape.iter().product::<usize>())
        .sum();
    let (flags, sines, norm) = (3 * 9, 5 * 768, 2 * 768);
    let all = outline.n_parameters() + 2 * of_tokenizers + flags + sines + norm;
    assert_eq!(all, 62_767_020);
    let rois: Vec<usize> = size.rois().iter().map(Vec::len).collect();
    assert_eq!(rois, [61, 77, 46, 47, 26, 52, 91, 50, 7]);
    Ok(())
}

#[test]
fn gradients_of_the_whole_network_match_finite_differences() -> Result<()> {
    let apart = DenseBranch { channels: 4, kernel: 3, dilation: 2 };
    let others = BrainSemantoksSize {
        branches: vec![SemantoksBranch::Depthwise(apart)],
        pooling: SemantoksPooling::Attention,
        ..tiny()
    };
    for size in [tiny(), others] {
        let variables = Variables::default();
        let network = BrainSemantoks::new(&size, variables.builder(1, DType::F64))?;
        let signals = sample("signals", (2, 4, 16))?;
        let weights = sample("weights", (2, 5, size.dim()))?.as_detached_tensor();
        let hidden = Tensor::new(&[[[0u8, 1], [0, 0]], [[0, 0], [1, 1]]], &Device::Cpu)?;
        let named = variables.all();
        let mut vars: Vec<_> = named.iter().map(|(name, var)| (name.as_str(), var)).collect();
        vars.push(("signals", &signals));
        check(&vars, || {
            let tokens = network.encode(&signals, Some(&hidden), &mut |_, _| {})?;
            (tokens * &weights)?.sum_all()
        })?;
    }
    Ok(())
}

/// Writes the tiny network's weights as its authors do: teacher and student, the tokenizers once for
/// every atlas, a norm that is not used.
fn file(dir: &Path, change: impl Fn(&mut HashMap<String, Tensor>)) -> PathBuf {
    let variables = Variables::default();
    BrainSemantoks::new(&tiny(), variables.builder(5, DType::F32)).unwrap();
    let mut tensors = HashMap::new();
    let ones = |n: usize| Tensor::ones(n, DType::F32, &Device::Cpu).unwrap();
    for (name, tensor) in variables.tensors() {
        let Some(rest) = name.strip_prefix("tokenizers.") else {
            tensors.insert(name, tensor);
            continue;
        };
        let first = format!("network_tokenizers.schaefer400.{rest}");
        if let Some(at) = first.strip_suffix("kernel_norm") {
            let flag = Tensor::ones(1, DType::U8, &Device::Cpu).unwrap();
            tensors.insert(format!("{at}kernel_norm_initialized"), flag);
        }
        // the copies are dead: what is in them does not matter
        tensors.insert(format!("network_tokenizers.tian3.{rest}"), ones(1));
        tensors.insert(first, tensor);
    }
    let sines = super::network::time_table(&tiny(), DType::F32, &Device::Cpu).unwrap();
    tensors.insert("inter_network_transformer.temporal_pos_embedding".to_owned(), sines);
    tensors.insert("inter_network_transformer.norm.weight".to_owned(), ones(6));
    change(&mut tensors);
    let mut all: HashMap<String, Tensor> = HashMap::new();
    for (name, tensor) in tensors {
        all.insert(format!("model_state_dict.teacher_encoder.{name}"), tensor.clone());
        all.insert(format!("model_state_dict.student_encoder.{name}"), tensor);
    }
    let path = dir.join("semantoks.safetensors");
    save(&path, &all).unwrap();
    path
}

#[test]
fn a_published_file_encodes_scans_and_short_ones() {
    let dir = tempfile::tempdir().unwrap();
    let weights = WeightsSource::File(file(dir.path(), |_| {}));
    let config = EncoderConfig::BrainSemantoks(config(weights));
    let encoder = FrozenEncoder::open(&config, INPUT, &nn::Device::cpu()).unwrap();
    let spec = encoder.spec();
    assert!(spec.licence.no_derivatives && spec.layout.has_class);
    let window: Vec<f32> = (0..64).map(|at| (at % 7) as f32 - 3.).collect();
    let tokens = encoder.encode(&window, None).unwrap();
    assert_eq!((tokens.n_tokens, tokens.dim), (5, 6));
    let mut short = window.clone();
    short[32..].fill(0.);
    let masked = encoder.encode_short(&short, None, 8).unwrap();
    assert_eq!(masked.n_tokens, 5);
    // the mask decides, not the zeros
    let unmasked = encoder.encode(&short, None).unwrap();
    assert_ne!(masked.values, unmasked.values);
    // a patch that has one real frame counts
    assert_eq!(encoder.encode_short(&short, None, 9).unwrap().values, unmasked.values);
}

#[test]
fn a_norm_that_is_not_stored_yet_is_that_of_the_present_kernel() {
    let dir = tempfile::tempdir().unwrap();
    let at = "network_tokenizers.schaefer400.0.branches.1.slconv";
    let path = file(dir.path(), |all| {
        let flag = Tensor::zeros(1, DType::U8, &Device::Cpu).unwrap();
        all.insert(format!("{at}.kernel_norm_initialized"), flag);
    });
    let opened = super::weights::open(&path, &tiny()).unwrap();
    let read = |name: &str| {
        let name = format!("tokenizers.0.branches.1.slconv.{name}");
        opened.stored(&name).unwrap().to_tensor(DType::F64).unwrap()
    };
    let numbers = |name: &str| read(name).get(0).unwrap().get(1).unwrap().to_vec1::<f64>().unwrap();
    // kernels of 2, 2 and 4 numbers times 4, 2 and 1
    let squares =
        |kernel: &[f64], times: f64| kernel.iter().map(|x| (times * x).powi(2)).sum::<f64>();
    let sum = squares(&numbers("kernel_list.0"), 4.)
        + squares(&numbers("kernel_list.1"), 2.)
        + 2. * squares(&numbers("kernel_list.2"), 1.);
    let found = numbers("kernel_norm")[0];
    assert!((found - sum.sqrt()).abs() < 1e-5, "{found} {sum}");
}

#[test]
fn tensors_go_back_to_the_names_of_their_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), |_| {});
    let stored = Frozen::open(&path).unwrap();
    for info in super::weights::open(&path, &tiny()).unwrap().list() {
        let name = super::weights::published_name(&info.name, "schaefer400");
        let ends = |it: &str| it == name || it.ends_with(&format!(".{name}"));
        assert!(stored.list().iter().any(|it| ends(&it.name)), "{name}");
    }
}

#[test]
fn weights_that_do_not_fit_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let open = |size: BrainSemantoksSize, change: &dyn Fn(&mut HashMap<String, Tensor>)| {
        let path = file(dir.path(), change);
        super::weights::open(&path, &size).map(drop).map_err(|it| it.to_string())
    };
    open(tiny(), &|_| {}).unwrap();
    let zeros = || Tensor::zeros(6, DType::F32, &Device::Cpu).unwrap();
    let error = open(tiny(), &|all| drop(all.insert("head.1.weight".into(), zeros()))).unwrap_err();
    assert!(error.contains("`head.1.weight` belongs to no part"), "{error}");
    let error = open(tiny(), &|all| drop(all.remove("norm.bias"))).unwrap_err();
    assert!(error.contains("`norm.bias` is missing"), "{error}");
    let moved = BrainSemantoksSize { networks: vec![[0, 3], [1, 1]], ..tiny() };
    let error = open(moved, &|_| {}).unwrap_err();
    assert!(error.contains("branches.0.weight` has shape [3, 2, 3]"), "{error}");
    let table = "inter_network_transformer.temporal_pos_embedding";
    let error = open(tiny(), &|all| {
        let other = Tensor::zeros((2, 6), DType::F32, &Device::Cpu).unwrap();
        drop(all.insert(table.into(), other));
    });
    assert!(error.unwrap_err().contains("from its sines"));
}

#[test]
fn siblings_with_other_tokenizers_are_refused_in_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let first = "network_tokenizers.schaefer400.0";
    let said = |change: &dyn Fn(&mut HashMap<String, Tensor>)| {
        let path = file(dir.path(), change);
        Published::open("brain_semantoks", &path, Unsaid::default()).unwrap_err().to_string()
    };
    let zeros = || Tensor::zeros((1, 6), DType::F32, &Device::Cpu).unwrap();
    let add = |name: &str| {
        let name = format!("{first}.{name}");
        said(&move |all| drop(all.insert(name.clone(), zeros())))
    };
    let error = add("pool.attention.weight");
    assert!(error.contains("pool by attention, expected the published ones"), "{error}");
    let error = add("branches.0.depthwise.weight");
    assert!(error.contains("convolve ROI by ROI"), "{error}");
    let error = said(&|all| drop(all.remove(&format!("{first}.branches.1.slconv.D"))));
    assert!(error.contains("no structured convolution"), "{error}");
    let error = said(&|all| drop(all.insert("shared_roi_projection.weight".into(), zeros())));
    assert!(error.contains("single ROIs (max_spatial)"), "{error}");
    // the published tokenizers, of two networks instead of nine
    let error = said(&|_| {});
    assert!(error.contains("tokenizers of 2 networks, expected 9"), "{error}");
}

#[test]
fn what_it_cannot_read_is_refused_in_one_sentence() {
    let seeded = config(WeightsSource::Seed(1));
    let said = |config: &BrainSemantoksConfig, input| config.spec(input).unwrap_err().to_string();
    let published = BrainSemantoksConfig { size: None, ..seeded.clone() };
    assert_eq!(
        said(&published, InputShape::Window { n_frames: 100, n_voxels: 450 }),
        "encoder `brain_semantoks` needs series of the 457 parcels of \
         schaefer400_7networks_tian50_buckner7, but the stages before it give series of 450 parcels"
    );
    let error = said(&published, InputShape::Window { n_frames: 90, n_voxels: 457 });
    assert!(error.contains("windows of 100 frames"), "{error}");
    let odd = BrainSemantoksSize { networks: vec![[0, 2], [2, 2]], ..tiny() };
    let error = said(&BrainSemantoksConfig { size: Some(odd), ..seeded.clone() }, INPUT);
    assert!(error.contains("network 1 has no ROI"), "{error}");
    let long = BrainSemantoksSize { branches: SemantoksBranch::published(3), ..tiny() };
    let error = said(&BrainSemantoksConfig { size: Some(long), ..seeded }, INPUT);
    assert!(error.contains("longer than a patch of 8 frames"), "{error}");
}
