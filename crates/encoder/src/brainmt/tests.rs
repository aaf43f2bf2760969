use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Result, Tensor};
use nn::gradcheck::{check, sample};
use nn::weights::{Variables, save};

use super::*;
use crate::{
    BrainEncoder, EncoderConfig, EncoderInput, FrozenEncoder, InputShape, TokenPolicy, Trainable,
    WeightsSource,
};

/// Twelve voxels deep and wide at most: two cells, three frames.
fn tiny(direction: Direction) -> BrainMtSize {
    BrainMtSize {
        embed_dim: 8,
        depth: [1, 2],
        n_heads: 2,
        n_frames: 3,
        n_cells: 2,
        direction,
        n_outputs: Some(2),
    }
}

fn config(direction: Direction, weights: WeightsSource) -> BrainMtConfig {
    let (size, tokens) = (Some(tiny(direction)), TokenPolicy::TimeMean);
    BrainMtConfig { weights, size, trainable: Trainable::None, tokens }
}

const INPUT: InputShape = InputShape::Volume { n_frames: 3, grid: [12, 17, 9] };

fn said(config: &BrainMtConfig, input: InputShape) -> String {
    config.spec(input).unwrap_err().to_string()
}

#[test]
fn gradients_of_the_whole_network_match_finite_differences() -> Result<()> {
    for direction in [Direction::Forward, Direction::Both] {
        let variables = Variables::default();
        // a norm over fewer channels turns too sharply for differences
        let size = BrainMtSize { embed_dim: 32, ..tiny(direction) };
        let network = BrainMt::new(&size, variables.builder(1, DType::F64))?;
        let frames = sample("frames", (2, 3, 17, 12, 9))?;
        let named = variables.all();
        let mut vars: Vec<_> = named.iter().map(|(name, var)| (name.as_str(), var)).collect();
        assert_eq!(vars.len(), if direction == Direction::Both { 57 } else { 50 });
        vars.push(("frames", &frames));
        check(&vars, || {
            let tokens = network.encode(&frames, &mut |_, _| {})?;
            let outputs = network.outputs(&tokens)?.expect("the tiny network has a head");
            tokens.sqr()?.mean_all()? + outputs.sqr()?.sum_all()?
        })?;
    }
    Ok(())
}

#[test]
fn tokens_lie_cell_by_cell_and_the_class_token_first() -> Result<()> {
    let network =
        BrainMt::new(&tiny(Direction::Forward), Variables::default().builder(1, DType::F64))?;
    let frames = sample("frames", (1, 3, 17, 12, 9))?;
    let tokens = network.embed(&frames)?;
    assert_eq!(tokens.dims(), [1, 7, 8]);
    // another second frame changes the tokens of that frame alone: 1 + cell · 3 + 1
    let other = Tensor::cat(
        &[&frames.narrow(1, 0, 1)?, &frames.narrow(1, 2, 1)?, &frames.narrow(1, 2, 1)?],
        1,
    )?;
    let moved = (network.embed(&other)? - tokens)?.abs()?.sum(2)?.squeeze(0)?.to_vec1::<f64>()?;
    let changed: Vec<usize> = (0..7).filter(|&at| moved[at] > 0.).collect();
    assert_eq!(changed, [2, 5]);
    Ok(())
}

#[test]
fn frames_in_portions_give_the_same_cells() -> Result<()> {
    let network =
        BrainMt::new(&tiny(Direction::Forward), Variables::default().builder(1, DType::F64))?;
    let volumes = sample("volumes", (6, 17, 12, 9))?;
    let together = network.stem().watched(&volumes, &mut |_, _| {})?.flatten(1, 3)?;
    let gap = (network.stem().forward(&volumes)? - together)?.abs()?.max_all()?;
    assert_eq!(gap.to_scalar::<f64>()?, 0.);
    Ok(())
}

#[test]
fn x_is_read_before_y_and_policies_take_their_tokens() -> Result<()> {
    let built = |tokens| -> Result<_> {
        let config = BrainMtConfig { tokens, ..config(Direction::Both, WeightsSource::Seed(3)) };
        BrainMtEncoder::new(&config, INPUT, Variables::default().builder(3, DType::F32))
    };
    let volumes = sample("volumes", vec![1, 1, 1, 3, 12, 17, 9])?.to_dtype(DType::F32)?;
    let input = EncoderInput::new(volumes.clone());
    let all = built(TokenPolicy::All)?.encode(&input)?.values;
    assert_eq!(all.dims(), [1, 1, 1, 7, 8]);
    let mean = built(TokenPolicy::TimeWindow(3))?.encode(&input)?.values;
    let by_hand = all.narrow(3, 4, 3)?.mean(3)?.squeeze(0)?;
    let gap = (mean.narrow(3, 1, 1)?.squeeze(3)?.squeeze(0)? - by_hand)?.abs()?.max_all()?;
    assert!(gap.to_scalar::<f32>()? < 1e-6);
    let network =
        BrainMt::new(&tiny(Direction::Both), Variables::default().builder(3, DType::F32))?;
    let turned = volumes.squeeze(0)?.squeeze(0)?.transpose(2, 3)?.contiguous()?;
    let direct = network.encode(&turned, &mut |_, _| {})?.reshape(all.dims())?;
    assert_eq!((all - direct)?.abs()?.max_all()?.to_scalar::<f32>()?, 0.);
    Ok(())
}

/// Writes the tiny network's weights, with another prefix and with changes.
fn file(
    dir: &Path,
    direction: Direction,
    prefix: &str,
    change: impl Fn(&mut HashMap<String, Tensor>),
) -> WeightsSource {
    let variables = Variables::default();
    BrainMt::new(&tiny(direction), variables.builder(5, DType::F32)).unwrap();
    let mut tensors: HashMap<String, Tensor> = variables
        .tensors()
        .into_iter()
        .map(|(name, tensor)| (format!("{prefix}{name}"), tensor))
        .collect();
    change(&mut tensors);
    let path = dir.join(format!("weights{prefix}.safetensors"));
    save(&path, &tensors).unwrap();
    WeightsSource::File(path)
}

#[test]
fn sizes_and_direction_are_read_from_the_tensors() {
    let dir = tempfile::tempdir().unwrap();
    for direction in [Direction::Forward, Direction::Both] {
        for prefix in ["", "module.", "model_state_dict.", "state_dict.model."] {
            let weights = file(dir.path(), direction, prefix, |_| {});
            let found = BrainMtConfig { size: None, ..config(direction, weights) };
            assert_eq!(*found.size().unwrap(), tiny(direction), "{prefix}");
        }
    }
}

#[test]
fn weights_that_do_not_fit_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let open = |size: BrainMtSize, change: &dyn Fn(&mut HashMap<String, Tensor>)| {
        let weights = file(dir.path(), Direction::Forward, "", change);
        let WeightsSource::File(path) = weights else { unreachable!("just written") };
        weights::open(&path, &size).map(|_| ()).map_err(|error| error.to_string())
    };
    let size = || tiny(Direction::Forward);
    open(size(), &|_| {}).unwrap();
    let error = open(tiny(Direction::Both), &|_| {}).unwrap_err();
    assert!(
        error.contains("scans one way, but `direction` says that it scans both ways"),
        "{error}"
    );
    let error = open(BrainMtSize { n_frames: 4, ..size() }, &|_| {}).unwrap_err();
    assert!(error.contains("temporal_pos_embedding") && error.contains("[1, 4, 8]"), "{error}");
    let zeros = || Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap();
    let error = open(size(), &|all| drop(all.insert("norm_g.weight".into(), zeros()))).unwrap_err();
    assert!(error.contains("`norm_g.weight` belongs to no part"), "{error}");
    let error = open(size(), &|all| drop(all.remove("norm_f.weight"))).unwrap_err();
    assert!(error.contains("`norm_f.weight` is missing"), "{error}");
    let error = open(size(), &|all| drop(all.remove("pos_embed"))).unwrap_err();
    assert!(error.contains("not BrainMT's"), "{error}");
}

#[test]
fn a_frozen_file_encodes_scans() {
    let dir = tempfile::tempdir().unwrap();
    let weights = file(dir.path(), Direction::Both, "model_state_dict.", |_| {});
    let config = EncoderConfig::BrainMt(config(Direction::Both, weights));
    let encoder = FrozenEncoder::open(&config, INPUT, &nn::Device::cpu()).unwrap();
    let window: Vec<f32> = (0..3 * 12 * 17 * 9).map(|at| (at % 13) as f32 - 6.).collect();
    let tokens = encoder.encode(&window, None).unwrap();
    assert_eq!((tokens.n_windows, tokens.n_tokens, tokens.dim), (1, 2, 8));
    assert_eq!(tokens.classes.unwrap().len(), 8);
}

#[test]
fn windows_that_do_not_fit_are_refused_in_one_sentence() {
    let config = config(Direction::Forward, WeightsSource::Seed(1));
    config.spec(INPUT).unwrap();
    let error = said(&config, InputShape::Volume { n_frames: 4, grid: [12, 17, 9] });
    assert!(error.contains("windows of 3 frames") && error.contains("windows of 4"), "{error}");
    let error = said(&config, InputShape::Volume { n_frames: 3, grid: [40, 17, 9] });
    assert!(error.contains("volumes of 2 cells") && error.contains("40×17×9"), "{error}");
    let error = said(&config, InputShape::Window { n_frames: 3, n_voxels: 480 });
    assert!(error.contains("whole volumes") && error.contains("480 voxels"), "{error}");
    let odd = BrainMtSize { n_heads: 3, ..tiny(Direction::Forward) };
    let error = said(&BrainMtConfig { size: Some(odd), ..config.clone() }, INPUT);
    assert!(error.contains("3 heads do not divide a width of 8"), "{error}");
    let error = said(&BrainMtConfig { tokens: TokenPolicy::TimeWindow(2), ..config }, INPUT);
    assert!(error.contains("time_window: 2"), "{error}");
}
