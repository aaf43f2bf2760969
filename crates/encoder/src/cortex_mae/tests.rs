use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Result, Tensor};
use nn::gradcheck::{check, sample};
use nn::weights::{Frozen, Outline, Variables, save};

use super::*;
use crate::by_hand::{Numbers, Rows, assert_near, assert_same, fixture, recorded, stir, sum};
use crate::{
    BrainEncoder, EncoderConfig, EncoderInput, FrozenEncoder, InputShape, InputSpace, Preparation,
    TokenPolicy, Trainable, WeightsSource,
};

fn tiny() -> CortexMaeSize {
    CortexMaeSize {
        dim: 6,
        depth: 2,
        n_heads: 3,
        n_parcels: 4,
        n_frames: 6,
        patch: 3,
        ..CortexMaeSize::default()
    }
}

const INPUT: InputShape = InputShape::Window { n_frames: 6, n_voxels: 4 };

fn config(weights: WeightsSource) -> CortexMaeConfig {
    let (size, tokens) = (Some(tiny()), TokenPolicy::All);
    CortexMaeConfig { weights, size, trainable: Trainable::None, tokens }
}

/// A masked autoencoder's encoder that hides nothing, over a window `(n_frames, n_parcels)`.
fn by_hand(numbers: &Numbers, size: &CortexMaeSize, window: &Rows) -> Rows {
    let part = |name: &str, at: usize| numbers.get(name)[at * size.dim..][..size.dim].to_vec();
    let (mut patches, mut positions) = (Rows::new(), Rows::new());
    for time in 0..size.n_frames / size.patch {
        for parcel in 0..size.n_parcels {
            let frames = &window[time * size.patch..][..size.patch];
            patches.push(frames.iter().map(|frame| frame[parcel]).collect());
            let when = vec![part("pos_embed.weight_temporal", time)];
            let place = vec![part("pos_embed.weight_spatial", parcel)];
            positions.extend(sum(&when, &place));
        }
    }
    let mut rows = vec![part("cls_token", 0)];
    rows.extend(sum(&numbers.linear("patch_embed", &patches), &positions));
    for idx in 0..size.depth {
        let at = format!("blocks.{idx}");
        rows = numbers.block(&at, size.n_heads, &rows, |rows| {
            ["q", "k", "v"].map(|which| numbers.linear(&format!("{at}.attn.{which}"), rows))
        });
    }
    numbers.norm("norm", &rows)
}

#[test]
fn tokens_are_those_worked_out_by_hand() -> Result<()> {
    let variables = Variables::default();
    CortexMae::new(&tiny(), variables.builder(1, DType::F64))?;
    stir(&variables)?;
    let stirred = Frozen::from_tensors(Path::new("stirred"), variables.tensors());
    let network = CortexMae::new(&tiny(), stirred.builder(DType::F64))?;
    let window = sample("window", (1, 6, 4))?;
    let rows: Rows = window.squeeze(0)?.to_vec2()?;
    let expected = by_hand(&Numbers::of(&variables)?, &tiny(), &rows);
    assert_near(&network.encode(&window, None, &mut |_, _| {})?, &expected)
}

// by hand: 12 blocks of 12 · 768² + 13 · 768, patches of 4, 400 places, 4 times, a class token, a norm
#[test]
fn the_published_size_has_the_number_of_parameters_that_its_layers_have() -> Result<()> {
    let outline = Outline::default();
    CortexMae::new(&CortexMaeSize::default(), outline.builder())?;
    let blocks = 12 * (12 * 768 * 768 + 13 * 768);
    assert_eq!(outline.n_parameters(), blocks + (4 + 1 + 400 + 4 + 1 + 2) * 768);
    Ok(())
}

#[test]
fn gradients_of_the_whole_network_match_finite_differences() -> Result<()> {
    let variables = Variables::default();
    let network = CortexMae::new(&tiny(), variables.builder(1, DType::F64))?;
    let windows = sample("windows", (2, 6, 4))?;
    let weights = sample("weights", (2, 9, 6))?.as_detached_tensor();
    let named = variables.all();
    let mut vars: Vec<_> = named.iter().map(|(name, var)| (name.as_str(), var)).collect();
    assert_eq!(vars.len(), 39);
    vars.push(("windows", &windows));
    check(&vars, || (network.encode(&windows, None, &mut |_, _| {})? * &weights)?.sum_all())
}

#[test]
fn policies_take_their_tokens_moment_by_moment() -> Result<()> {
    let built = |tokens| {
        let config = CortexMaeConfig { tokens, ..config(WeightsSource::Seed(3)) };
        CortexMaeEncoder::new(&config, INPUT, Variables::default().builder(3, DType::F64))
    };
    let input = EncoderInput::new(sample("window", (1, 1, 1, 6, 4))?.as_tensor().clone());
    let all = built(TokenPolicy::All)?.encode(&input)?.values.reshape((9, 6))?;
    let means = built(TokenPolicy::TimeMean)?.encode(&input)?.values.reshape((4, 6))?;
    let by_hand = ((all.narrow(0, 1, 4)? + all.narrow(0, 5, 4)?)? / 2.)?;
    let gap = (means - by_hand)?.abs()?.max_all()?.to_scalar::<f64>()?;
    assert!(gap < 1e-12, "{gap}");
    let class = built(TokenPolicy::Cls)?.encode(&input)?.values.reshape(6)?;
    assert_eq!(class.to_vec1::<f64>()?, all.get(0)?.to_vec1::<f64>()?);
    Ok(())
}

/// Writes the tiny network's weights as its authors do, beside a decoder, with changes.
fn file(dir: &Path, change: impl Fn(&mut HashMap<String, Tensor>)) -> PathBuf {
    let variables = Variables::default();
    CortexMae::new(&tiny(), variables.builder(5, DType::F32)).unwrap();
    let named = |(name, tensor): (String, Tensor)| (format!("model.encoder.{name}"), tensor);
    let mut tensors: HashMap<String, Tensor> = variables.tensors().into_iter().map(named).collect();
    let zeros = Tensor::zeros((1, 1, 4), DType::F32, &Device::Cpu).unwrap();
    tensors.insert("model.decoder.mask_token".to_owned(), zeros);
    change(&mut tensors);
    let path = dir.join("mae.safetensors");
    save(&path, &tensors).unwrap();
    path
}

#[test]
fn a_published_file_encodes_scans() {
    let dir = tempfile::tempdir().unwrap();
    let weights = WeightsSource::File(file(dir.path(), |_| {}));
    let unsaid = CortexMaeConfig { size: None, ..config(weights.clone()) };
    // heads are 64 wide, so this one has one
    assert_eq!(*unsaid.size().unwrap(), CortexMaeSize { n_heads: 1, ..tiny() });
    let encoder = FrozenEncoder::open(&EncoderConfig::CortexMae(config(weights)), INPUT).unwrap();
    let spec = encoder.spec();
    assert!(spec.licence.non_commercial && spec.layout.has_class);
    let window: Vec<f32> = (0..24).map(|at| (at % 7) as f32 - 3.).collect();
    let tokens = encoder.encode(&window, None).unwrap();
    assert_eq!((tokens.n_tokens, tokens.dim), (9, 6));
    assert_eq!(tokens.classes.unwrap(), tokens.values[..6]);
}

#[test]
fn a_pytorch_file_gives_pytorchs_tokens_and_one_of_flat_maps_is_refused() {
    let (windows, tokens) = recorded("cortex_mae");
    let size = CortexMaeSize {
        dim: 8,
        depth: 2,
        n_heads: 2,
        n_parcels: 3,
        n_frames: 8,
        ..CortexMaeSize::default()
    };
    let input = InputShape::Window { n_frames: 8, n_voxels: 3 };
    let config = CortexMaeConfig {
        size: Some(size),
        ..config(WeightsSource::File(fixture("cortex_mae.pth")))
    };
    let encoder = FrozenEncoder::open(&EncoderConfig::CortexMae(config.clone()), input).unwrap();
    assert_same(&encoder.encode(&windows, None).unwrap().values, &tokens);
    let flat = config.open_weights(&fixture("cortex_mae_flat.pth")).map(drop).unwrap_err();
    let said = "cortex_mae_flat.pth: its input space is flat, expected one of parcels";
    assert!(flat.to_string().ends_with(said), "{flat}");
}

#[test]
fn weights_that_do_not_fit_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let open = |size: CortexMaeSize, change: &dyn Fn(&mut HashMap<String, Tensor>)| {
        let path = file(dir.path(), change);
        super::weights::open(&path, &size).map(drop).map_err(|it| it.to_string())
    };
    open(tiny(), &|_| {}).unwrap();
    let zeros = || Tensor::zeros((1, 1, 6), DType::F32, &Device::Cpu).unwrap();
    let add = |name: &'static str| {
        open(tiny(), &move |all| drop(all.insert(format!("model.{name}"), zeros()))).unwrap_err()
    };
    assert!(add("encoder.reg_token").contains("`reg_token` belongs to no part"));
    assert!(add("encoder.cls_token_pos").contains("`cls_token_pos` belongs to no part"));
    assert!(add("head.weight").contains("`head.weight` belongs to no part"));
    let error = open(tiny(), &|all| drop(all.remove("model.encoder.norm.bias"))).unwrap_err();
    assert!(error.contains("`norm.bias` is missing"), "{error}");
    let error = open(CortexMaeSize { dim: 12, ..tiny() }, &|_| {}).unwrap_err();
    assert!(error.contains("has shape [6], this model needs [12]"), "{error}");
    let error = open(CortexMaeSize { n_parcels: 400, ..tiny() }, &|_| {}).unwrap_err();
    assert!(error.contains("has shape [1, 4, 6], this model needs [1, 400, 6]"), "{error}");
    let gone = "model.encoder.pos_embed.weight_spatial";
    let error = open(tiny(), &|all| drop(all.remove(gone))).unwrap_err();
    assert!(error.contains("not CortexMAE's"), "{error}");
}

#[test]
fn what_it_cannot_read_is_refused_in_one_sentence() {
    let seeded = config(WeightsSource::Seed(1));
    let said = |config: &CortexMaeConfig, input| config.spec(input).unwrap_err().to_string();
    let published = CortexMaeConfig { size: None, ..seeded.clone() };
    assert_eq!(
        said(&published, InputShape::Window { n_frames: 16, n_voxels: 424 }),
        "encoder `cortex_mae` needs series of the 400 parcels of schaefer400_17networks, but the \
         stages before it give series of 424 parcels"
    );
    let error = said(&published, InputShape::Window { n_frames: 20, n_voxels: 400 });
    assert!(error.contains("windows of 16 frames") && error.contains("windows of 20"), "{error}");
    let error = said(&seeded, InputShape::Volume { n_frames: 6, grid: [4, 4, 4] });
    assert!(error.contains("series of an atlas's parcels") && error.contains("4×4×4"), "{error}");
    let odd = CortexMaeSize { patch: 4, ..tiny() };
    let error = said(&CortexMaeConfig { size: Some(odd), ..seeded }, INPUT);
    assert!(error.contains("patches of 4 do not tile a window of 6 frames"), "{error}");
}

#[test]
fn learned_weights_ask_for_the_rate_and_scale_they_know() {
    let dir = tempfile::tempdir().unwrap();
    let learned = config(WeightsSource::File(file(dir.path(), |_| {}))).spec(INPUT).unwrap();
    let given = |t_r_s, normalisation: &str| Preparation {
        space: InputSpace::Parcels { atlas: Some("mine".to_owned()), n: 4, coordinates: false },
        n_frames: 6,
        t_r_s: Some(t_r_s),
        normalisation: Some(normalisation.to_owned()),
    };
    learned.check(&given(1.0, "frame_z")).unwrap();
    let error = learned.check(&given(0.735, "frame_z")).unwrap_err().to_string();
    assert!(error.contains("a TR of 1 s") && error.contains("0.735 s"), "{error}");
    let error = learned.check(&given(1.0, "global_z")).unwrap_err().to_string();
    assert!(error.contains("frame_z") && error.ends_with("give global_z"), "{error}");
    let drawn = config(WeightsSource::Seed(1)).spec(INPUT).unwrap();
    drawn.check(&given(0.735, "robust_paper")).unwrap();
}
