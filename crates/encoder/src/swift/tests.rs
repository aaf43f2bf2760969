use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Result, Tensor};
use formats::Value;
use nn::gradcheck::{check, sample};
use nn::weights::{Frozen, Outline, Variables, save};

use super::*;
use crate::published::{Published, Unsaid};
use crate::weights::Shapes;
use crate::{EncoderConfig, FrozenEncoder, InputShape, TokenPolicy, Trainable, WeightsSource};

fn tiny() -> SwiftSize {
    SwiftSize {
        embed_dim: 4,
        depths: vec![2, 1],
        n_heads: vec![2, 2],
        grid: [6, 4, 4],
        n_frames: 3,
        patch: [1, 2, 1],
        first_window: [2, 2, 3, 2],
        window: [2; 4],
        last_stage_full: true,
    }
}

const INPUT: InputShape = InputShape::Volume { n_frames: 3, grid: [6, 4, 4] };

fn config(weights: WeightsSource) -> SwiftConfig {
    let (size, tokens) = (Some(tiny()), TokenPolicy::All);
    SwiftConfig { weights, size, trainable: Trainable::None, tokens }
}

// the README of the recorded cases: 4,315,212 numbers in 165 tensors, of which two are the norm that is
// never applied, and two the head
#[test]
fn the_published_size_has_the_originals_number_of_parameters() -> Result<()> {
    let outline = Outline::default();
    Swift::new(&SwiftSize::default(), outline.builder())?;
    assert_eq!(outline.shapes().len(), 165 - 2);
    assert_eq!(outline.n_parameters(), 4_315_212 - 2 * 288);
    Ok(())
}

#[test]
fn gradients_of_the_whole_network_match_finite_differences() -> Result<()> {
    let variables = Variables::default();
    let network = Swift::new(&tiny(), variables.builder(1, DType::F64))?;
    let volumes = sample("volumes", (2, 3, 6, 4, 4))?;
    let weights = sample("weights", (2, 3 * 2 * 3, 8))?.as_detached_tensor();
    let named = variables.all();
    let mut vars: Vec<_> = named
        .iter()
        // shifted, straight and full attention have one each; the others are alike
        .filter(|(name, _)| !name.contains("norm2") && !name.contains("mlp"))
        .map(|(name, var)| (name.as_str(), var))
        .collect();
    vars.push(("volumes", &volumes));
    check(&vars, || (network.encode(&volumes, &mut |_, _| {})? * &weights)?.sum_all())
}

#[test]
fn fewer_frames_than_the_table_of_times_are_read() -> Result<()> {
    let network = Swift::new(&tiny(), Variables::default().builder(1, DType::F32))?;
    let volumes = sample("volumes", (1, 2, 6, 4, 4))?.to_dtype(DType::F32)?;
    assert_eq!(network.encode(&volumes, &mut |_, _| {})?.dims(), [1, 3 * 2 * 2, 8]);
    let four = sample("volumes", (1, 4, 6, 4, 4))?.to_dtype(DType::F32)?;
    assert!(network.encode(&four, &mut |_, _| {}).is_err());
    Ok(())
}

/// Writes the tiny network's weights as Lightning does, without `hyper_parameters`, with changes.
fn file(dir: &Path, change: impl Fn(&mut HashMap<String, Tensor>)) -> PathBuf {
    let variables = Variables::default();
    Swift::new(&tiny(), variables.builder(5, DType::F32)).unwrap();
    let named = |(name, tensor): (String, Tensor)| (format!("state_dict.model.{name}"), tensor);
    let mut tensors: HashMap<String, Tensor> = variables.tensors().into_iter().map(named).collect();
    let zeros = |n: usize| Tensor::zeros(n, DType::F32, &Device::Cpu).unwrap();
    for unused in ["model.norm.weight", "model.norm.bias", "output_head.linear.bias"] {
        tensors.insert(format!("state_dict.{unused}"), zeros(8));
    }
    change(&mut tensors);
    let path = dir.join("swift.safetensors");
    save(&path, &tensors).unwrap();
    path
}

#[test]
fn a_published_file_encodes_volumes() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), |_| {});
    let config = EncoderConfig::Swift(config(WeightsSource::File(path)));
    let encoder = FrozenEncoder::open(&config, INPUT, &nn::Device::cpu()).unwrap();
    let spec = encoder.spec();
    assert!(!spec.licence.non_commercial && spec.t_r.is_some() && !spec.layout.has_class);
    let window: Vec<f32> = (0..288).map(|at| (at % 7) as f32 - 3.).collect();
    let tokens = encoder.encode(&window, None).unwrap();
    assert_eq!((tokens.n_tokens, tokens.dim), (18, 8));
    let error = encoder.encode_short(&window, None, 2).unwrap_err().to_string();
    assert!(error.contains("no mask"), "{error}");
}

#[test]
fn weights_that_do_not_fit_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let open = |size: SwiftSize, change: &dyn Fn(&mut HashMap<String, Tensor>)| {
        let path = file(dir.path(), change);
        super::weights::open(&path, &size).map(drop).map_err(|it| it.to_string())
    };
    open(tiny(), &|_| {}).unwrap();
    let zeros = || Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap();
    let biased = "state_dict.model.layers.0.blocks.0.attn.relative_position_bias_table";
    let error = open(tiny(), &|all| drop(all.insert(biased.into(), zeros()))).unwrap_err();
    assert!(error.contains("relative_position_bias_table` belongs to no part"), "{error}");
    let gone = "state_dict.model.layers.0.downsample.norm.bias";
    let error = open(tiny(), &|all| drop(all.remove(gone))).unwrap_err();
    assert!(error.contains("`layers.0.downsample.norm.bias` is missing"), "{error}");
    let gone = "state_dict.model.patch_embed.fc.weight";
    let error = open(tiny(), &|all| drop(all.remove(gone))).unwrap_err();
    assert!(error.contains("it is not SwiFT's"), "{error}");
}

#[test]
fn a_file_without_hyper_parameters_is_refused_in_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), |_| {});
    let error = Published::open("swift", &path, Unsaid::default()).unwrap_err().to_string();
    assert!(error.contains("swift.safetensors: holds no `hyper_parameters`"), "{error}");
}

type Items = Vec<(String, Value)>;

#[test]
fn hyper_parameters_say_what_tensors_do_not() {
    let size = tiny();
    let drawn = Variables::default();
    Swift::new(&size, drawn.builder(5, DType::F32)).unwrap();
    let shapes = Shapes::of(&Frozen::from_tensors(Path::new("drawn"), drawn.tensors()));
    let list = |all: &[usize]| Value::List(all.iter().map(|n| Value::Int(*n as i128)).collect());
    let said = |change: &dyn Fn(&mut Items)| {
        let mut items: Items = [
            ("model", Value::Text("swin4d_ver7".to_owned())),
            ("depths", list(&[2, 1])),
            ("num_heads", list(&[2, 2])),
            ("img_size", list(&[6, 4, 4, 3])),
            ("patch_size", list(&[1, 2, 1, 1])),
            ("first_window_size", list(&[2, 2, 3, 2])),
            ("window_size", list(&[2, 2, 2, 2])),
            ("last_layer_full_MSA", Value::Bool(true)),
        ]
        .map(|(key, value)| (key.to_owned(), value))
        .to_vec();
        change(&mut items);
        super::weights::of(&Value::Map(items), &shapes)
    };
    assert_eq!(said(&|_| {}).unwrap(), size);
    let without =
        |key: &'static str| said(&move |items| items.retain(|(name, _)| name != key)).unwrap_err();
    assert!(without("num_heads").contains("have no numbers `num_heads`"));
    assert!(without("last_layer_full_MSA").contains("have no `last_layer_full_MSA`"));
    let error = said(&|items| items[0].1 = Value::Text("neurostorm".to_owned())).unwrap_err();
    assert!(error.contains("say model neurostorm, expected swin4d_ver7"), "{error}");
    let error = said(&|items| items[6].1 = list(&[4, 4, 4])).unwrap_err();
    assert!(error.contains("window_size [4, 4, 4], expected 4 numbers"), "{error}");
}

#[test]
fn what_it_cannot_read_is_refused_in_one_sentence() {
    let seeded = config(WeightsSource::Seed(1));
    let said = |config: &SwiftConfig, input| config.spec(input).unwrap_err().to_string();
    let error = said(&seeded, InputShape::Window { n_frames: 3, n_voxels: 96 });
    assert!(error.contains("needs windows of whole volumes"), "{error}");
    let error = said(&seeded, InputShape::Volume { n_frames: 3, grid: [6, 4, 6] });
    assert!(error.contains("volumes of 6×4×4 voxels in LAS order"), "{error}");
    let error = said(&seeded, InputShape::Volume { n_frames: 4, grid: [6, 4, 4] });
    assert!(error.contains("windows of 3 frames"), "{error}");
    let odd = SwiftSize { grid: [5, 4, 4], ..tiny() };
    let error = said(&SwiftConfig { size: Some(odd), ..seeded.clone() }, INPUT);
    assert!(error.contains("a side of 5 voxels"), "{error}");
    let odd = SwiftSize { n_heads: vec![3, 2], ..tiny() };
    let error = said(&SwiftConfig { size: Some(odd), ..seeded.clone() }, INPUT);
    assert!(error.contains("3 heads do not divide a width of 4"), "{error}");
    let odd = SwiftSize { depths: vec![1], ..tiny() };
    let error = said(&SwiftConfig { size: Some(odd), ..seeded }, INPUT);
    assert!(error.contains("expected 2 to 8"), "{error}");
}
