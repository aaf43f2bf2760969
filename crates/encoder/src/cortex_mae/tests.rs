use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Result, Tensor};
use formats::Value;
use nn::gradcheck::{check, sample};
use nn::weights::{Frozen, Outline, Variables, save};

use super::args::Args;
use super::*;
use crate::by_hand::{Numbers, Rows, assert_near, assert_same, fixture, recorded, stir, sum};
use crate::pretrained::Pretrained;
use crate::weights::Shapes;
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
    let encoder =
        FrozenEncoder::open(&EncoderConfig::CortexMae(config(weights)), INPUT, &nn::Device::cpu())
            .unwrap();
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
    let encoder =
        FrozenEncoder::open(&EncoderConfig::CortexMae(config.clone()), input, &nn::Device::cpu())
            .unwrap();
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

/// A map of plain values, as a checkpoint holds them.
fn map<const N: usize>(items: [(&str, Value); N]) -> Value {
    Value::Map(items.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

fn args(kwargs: Value) -> Value {
    let sides = Value::List(vec![Value::Int(4), Value::Int(1)]);
    let args = map([
        ("input_space", Value::Text("schaefer400".to_owned())),
        ("img_size", sides),
        ("in_chans", Value::Int(1)),
        ("patch_size", Value::Int(1)),
        ("num_frames", Value::Int(6)),
        ("t_patch_size", Value::Int(3)),
        ("mask_ratio", Value::Float(0.75)),
        ("model_kwargs", kwargs),
    ]);
    map([("args", args)])
}

#[test]
fn the_args_of_a_checkpoint_say_what_its_tensors_do_not() {
    let text = |word: &str| Value::Text(word.to_owned());
    let read = |kwargs: Value| Args::of(&args(kwargs));
    let usual = read(Value::None).unwrap();
    assert_eq!((usual.n_parcels, usual.n_frames, usual.patch), (Some(4), Some(6), Some(3)));
    // the program's default where nothing is said
    assert_eq!((usual.positions, usual.decode_positions), (None, Some(true)));
    let published = read(map([
        ("pos_embed", text("sep")),
        ("no_decode_pos", Value::Bool(true)),
        ("reg_tokens", Value::Int(0)),
    ]));
    let published = published.unwrap();
    assert_eq!(published.positions, Some(CortexMaePositions::Separable));
    assert_eq!((published.decode_positions, published.mask_ratio), (Some(false), Some(0.75)));
    let crossing =
        read(map([("decoding", text("crossreg")), ("pos_embed", text("sincos"))])).unwrap();
    assert_eq!(crossing.decoding, Some(CortexMaeDecoding::CrossReg));
    assert_eq!(crossing.positions, Some(CortexMaePositions::Sines));
    let refused = |key: &str, value: Value| read(map([(key, value)])).unwrap_err();
    assert!(refused("qkv_bias", Value::Bool(false)).contains("qkv_bias false, expected true"));
    assert!(refused("mlp_ratio", Value::Float(2.)).contains("mlp_ratio 2, expected 4"));
    assert!(refused("patch_size", Value::Int(16)).contains("expected 1 for parcels"));
    assert!(refused("pos_embed", text("rope")).contains("pos_embed rope, which is not known"));
}

#[test]
fn sizes_come_from_tensors_and_args_together() -> Result<()> {
    let decoder = CortexMaeDecoderSize {
        dim: 32,
        depth: 1,
        n_heads: 1,
        decoding: CortexMaeDecoding::CrossReg,
        visible_positions: true,
        stride: 3,
        mask_ratio: 0.75,
    };
    let size = CortexMaeSize {
        dim: 64,
        n_heads: 1,
        n_registers: 2,
        prefix_positions: true,
        positions: CortexMaePositions::Absolute,
        decoder: Some(decoder.clone()),
        ..tiny()
    };
    let drawn = Variables::default();
    CortexMae::new(&size, drawn.builder(1, DType::F32))?;
    CortexMaeDecoder::new(&size, &decoder, drawn.builder(1, DType::F32).pp("decoder"))?;
    let shapes = Shapes::of(&Frozen::from_tensors(Path::new("drawn"), drawn.tensors()));
    let said = map([("decoding", Value::Text("crossreg".to_owned()))]);
    let told = Args::of(&args(said)).unwrap();
    assert_eq!(CortexMaeSize::of(&shapes, &told).unwrap(), size);
    // a table of all patches does not say how many are of one moment
    let error = CortexMaeSize::of(&shapes, &Args::default()).unwrap_err();
    assert!(error.contains("share one table"), "{error}");
    let other = Args { n_parcels: Some(400), ..told };
    let error = CortexMaeSize::of(&shapes, &other).unwrap_err();
    assert!(error.contains("`args` say img_size 400, its tensors say 4"), "{error}");
    Ok(())
}

#[test]
fn gradients_of_registers_and_of_a_crossing_decoder_match_finite_differences() -> Result<()> {
    let decoder = CortexMaeDecoderSize {
        dim: 4,
        depth: 1,
        n_heads: 2,
        decoding: CortexMaeDecoding::Cross,
        stride: 3,
        ..CortexMaeDecoderSize::default()
    };
    let size = CortexMaeSize {
        depth: 1,
        n_registers: 2,
        prefix_positions: true,
        positions: CortexMaePositions::Absolute,
        decoder: Some(decoder.clone()),
        ..tiny()
    };
    let variables = Variables::default();
    let vb = variables.builder(1, DType::F64);
    let network = CortexMae::new(&size, vb.clone())?;
    let decoder = CortexMaeDecoder::new(&size, &decoder, vb.pp("decoder"))?;
    let windows = sample("windows", (1, 6, 4))?;
    let mut mask = vec![1f64; 24];
    (0..6).for_each(|frame| mask[4 * frame + 2] = 0.);
    let mask = Tensor::from_vec(mask, (1, 6, 4), &Device::Cpu)?;
    let visible = Visible::of_mask(&mask, &size)?;
    let hidden = Visible::hidden(&mask, &size, 3)?;
    assert_eq!((visible.ids()[0].len(), hidden.ids()[0].as_slice()), (6, &[2, 6][..]));
    let named = variables.all();
    let mut vars: Vec<_> = named.iter().map(|(name, var)| (name.as_str(), var)).collect();
    vars.push(("windows", &windows));
    check(&vars, || {
        let seen = (windows.as_tensor() * &mask)?;
        let encoded = network.encode(&seen, Some(&visible), &mut |_, _| {})?;
        decoder.decode(&encoded, &visible, &hidden, &mut |_, _| {})?.sqr()?.sum_all()
    })
}

#[test]
fn a_short_window_leaves_out_the_patches_that_saw_nothing() {
    let encoder = EncoderConfig::CortexMae(CortexMaeConfig {
        tokens: TokenPolicy::TimeMean,
        ..config(WeightsSource::Seed(3))
    });
    let encoder = FrozenEncoder::open(&encoder, INPUT, &nn::Device::cpu()).unwrap();
    let mut window: Vec<f32> = (0..24).map(|at| (at % 7) as f32 - 3.).collect();
    window[12..].fill(0.);
    let short = encoder.encode_short(&window, None, 3).unwrap();
    let whole = encoder.encode(&window, None).unwrap();
    assert_eq!(short.values.len(), whole.values.len());
    assert_ne!(short.values, whole.values);
    // one frame of the second patch makes it count
    assert_eq!(encoder.encode_short(&window, None, 4).unwrap().values, whole.values);
    let all = EncoderConfig::CortexMae(config(WeightsSource::Seed(3)));
    let all = FrozenEncoder::open(&all, INPUT, &nn::Device::cpu()).unwrap();
    let error = all.encode_short(&window, None, 3).unwrap_err().to_string();
    assert!(error.contains("tokens is `all`, which takes fewer tokens"), "{error}");
}
