use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Result, Tensor};
use nn::gradcheck::{check, sample};
use nn::weights::{Frozen, Outline, Variables, save};

use super::*;
use crate::by_hand::{Numbers, Rows, assert_near, assert_same, fixture, recorded, stir, sum};
use crate::pretrained::Pretrained;
use crate::{
    BrainEncoder, EncoderConfig, EncoderInput, FrozenEncoder, InputShape, InputSpace, Preparation,
    TokenPolicy, Trainable, WeightsSource,
};

fn tiny() -> BrainJepaSize {
    BrainJepaSize {
        dim: 8,
        depth: 2,
        n_heads: 2,
        n_parcels: 3,
        n_frames: 6,
        patch: 2,
        n_gradients: 5,
    }
}

const INPUT: InputShape = InputShape::Window { n_frames: 6, n_voxels: 3 };

fn config(weights: WeightsSource) -> BrainJepaConfig {
    let (size, tokens) = (Some(tiny()), TokenPolicy::All);
    BrainJepaConfig { weights, gradients: None, size, trainable: Trainable::None, tokens }
}

/// `[sin …, cos …]` of a patch, half as wide as a token.
fn sines(time: usize, dim: usize) -> Vec<f64> {
    let quarter = dim / 4;
    let angle = |k: usize| time as f64 / 10_000f64.powf(k as f64 / quarter as f64);
    (0..quarter).map(|k| angle(k).sin()).chain((0..quarter).map(|k| angle(k).cos())).collect()
}

/// The formulas of the paper, section 3, and of its encoder, a plain vision transformer.
fn by_hand(numbers: &Numbers, size: &BrainJepaSize, signals: &Rows) -> Rows {
    let gradients: Rows =
        numbers.get("gradients").chunks(size.n_gradients).map(<[f64]>::to_vec).collect();
    let mut places = numbers.linear("pos_embed_proj.predictor_pos_embed_proj", &gradients);
    let low = places.iter().flatten().copied().fold(f64::INFINITY, f64::min);
    let high = places.iter().flatten().copied().fold(f64::NEG_INFINITY, f64::max);
    places.iter_mut().flatten().for_each(|x| *x = (*x - low) / (high - low) * 2. - 1.);
    let (mut patches, mut positions) = (Rows::new(), Rows::new());
    for (parcel, series) in signals.iter().enumerate() {
        for (time, patch) in series.chunks(size.patch).enumerate() {
            patches.push(patch.to_vec());
            positions.push([sines(time, size.dim), places[parcel].clone()].concat());
        }
    }
    let mut rows = sum(&numbers.linear("patch_embed.proj", &patches), &positions);
    for idx in 0..size.depth {
        let at = format!("blocks.{idx}");
        rows = numbers.block(&at, size.n_heads, &rows, |rows| {
            let all = numbers.linear(&format!("{at}.attn.qkv"), rows);
            [0, 1, 2].map(|third| {
                let part = |row: &Vec<f64>| row[third * size.dim..][..size.dim].to_vec();
                all.iter().map(part).collect()
            })
        });
    }
    numbers.norm("norm", &rows)
}

#[test]
fn tokens_are_those_worked_out_by_hand() -> Result<()> {
    let variables = Variables::default();
    BrainJepa::new(&tiny(), variables.builder(1, DType::F64))?;
    stir(&variables)?;
    let stirred = Frozen::from_tensors(Path::new("stirred"), variables.tensors());
    let network = BrainJepa::new(&tiny(), stirred.builder(DType::F64))?;
    let signals = sample("signals", (1, 3, 6))?;
    let rows: Rows = signals.squeeze(0)?.to_vec2()?;
    let expected = by_hand(&Numbers::of(&variables)?, &tiny(), &rows);
    assert_near(&network.encode(&signals, &mut |_, _| {})?, &expected)
}

// 86,808,960 numbers in 151 tensors, counted on the original's class in its published configuration;
// its table of sines is computed here, and the gradients stand in its place
#[test]
fn the_published_size_has_the_originals_number_of_parameters() -> Result<()> {
    let outline = Outline::default();
    BrainJepa::new(&BrainJepaSize::default(), outline.builder())?;
    let (sines, gradients) = (4500 * 384, 450 * 30);
    assert_eq!(outline.shapes().len(), 151);
    assert_eq!(outline.n_parameters() - gradients + sines, 86_808_960);
    Ok(())
}

#[test]
fn gradients_of_the_whole_network_match_finite_differences() -> Result<()> {
    let variables = Variables::default();
    let network = BrainJepa::new(&tiny(), variables.builder(1, DType::F64))?;
    let signals = sample("signals", (2, 3, 6))?;
    let weights = sample("weights", (2, 9, 8))?.as_detached_tensor();
    let named = variables.all();
    let mut vars: Vec<_> = named.iter().map(|(name, var)| (name.as_str(), var)).collect();
    assert_eq!(vars.len(), 31);
    vars.push(("signals", &signals));
    check(&vars, || (network.encode(&signals, &mut |_, _| {})? * &weights)?.sum_all())
}

/// Writes the tiny network's weights as its authors do, with changes, and its gradients.
fn files(dir: &Path, change: impl Fn(&mut HashMap<String, Tensor>)) -> (PathBuf, PathBuf) {
    let variables = Variables::default();
    BrainJepa::new(&tiny(), variables.builder(5, DType::F32)).unwrap();
    let mut tensors = variables.tensors();
    let gradients = tensors.remove("gradients").unwrap().to_vec2::<f32>().unwrap();
    let table: Vec<f64> = (0..9).flat_map(|token| sines(token % 3, 8)).collect();
    let table =
        Tensor::from_vec(table, (9, 4), &Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
    tensors.insert("pos_embed_proj.emb_h".to_owned(), table);
    change(&mut tensors);
    let named = |section: &str| -> HashMap<String, Tensor> {
        let name = |name: &String| format!("{section}.module.{name}");
        tensors.iter().map(|(key, tensor)| (name(key), tensor.clone())).collect()
    };
    let mut all = named("target_encoder");
    all.extend(named("encoder"));
    let (weights, table) = (dir.join("jepa.safetensors"), dir.join("gradients.csv"));
    save(&weights, &all).unwrap();
    let line =
        |row: &Vec<f32>| row.iter().map(|x| format!("{x:.9e}")).collect::<Vec<_>>().join(",");
    let lines: Vec<_> = gradients.iter().map(line).collect();
    std::fs::write(&table, lines.join("\n")).unwrap();
    (weights, table)
}

#[test]
fn a_published_file_and_its_gradients_encode_scans() -> Result<()> {
    let dir = tempfile::tempdir().unwrap();
    let (weights, gradients) = files(dir.path(), |_| {});
    let from_file = BrainJepaConfig {
        gradients: Some(gradients.clone()),
        size: None,
        ..config(WeightsSource::File(weights))
    };
    // heads are 64 wide, so this one has one
    let size = BrainJepaSize { n_heads: 1, ..tiny() };
    assert_eq!(*from_file.size().unwrap(), size);
    let named = EncoderConfig::BrainJepa(BrainJepaConfig { size: Some(tiny()), ..from_file });
    let encoder = FrozenEncoder::open(&named, INPUT, &nn::Device::cpu()).unwrap();
    assert!(encoder.spec().licence.non_commercial);
    let window: Vec<f32> = (0..18).map(|at| (at % 7) as f32 - 3.).collect();
    let tokens = encoder.encode(&window, None).unwrap();
    assert_eq!((tokens.n_tokens, tokens.dim, tokens.classes), (9, 8, None));
    // the same numbers drawn from the seed of the file, and parcels read as columns of the window
    let drawn = Variables::default().builder(5, DType::F32);
    let direct = BrainJepaEncoder::new(&config(WeightsSource::Seed(5)), INPUT, drawn)?;
    let values = Tensor::from_vec(window, (1, 1, 1, 6, 3), &Device::Cpu)?;
    let direct =
        direct.encode(&EncoderInput::new(values))?.values.flatten_all()?.to_vec1::<f32>()?;
    let gap = direct.iter().zip(&tokens.values).map(|(a, b)| (a - b).abs()).fold(0., f32::max);
    assert!(gap < 1e-6, "{gap}");
    let before = named.identity().unwrap();
    std::fs::write(&gradients, "1,2,3,4,5\n2,3,4,5,6\n3,4,5,6,8").unwrap();
    assert_ne!(named.identity().unwrap(), before);
    Ok(())
}

#[test]
fn a_pytorch_file_gives_pytorchs_tokens() {
    let (windows, tokens) = recorded("brain_jepa");
    let config = BrainJepaConfig {
        gradients: Some(fixture("brain_jepa_gradients.csv")),
        size: Some(BrainJepaSize { n_gradients: 4, ..tiny() }),
        ..config(WeightsSource::File(fixture("brain_jepa.pth.tar")))
    };
    let encoder =
        FrozenEncoder::open(&EncoderConfig::BrainJepa(config), INPUT, &nn::Device::cpu()).unwrap();
    assert_same(&encoder.encode(&windows, None).unwrap().values, &tokens);
}

#[test]
fn weights_that_do_not_fit_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let open = |size: BrainJepaSize, change: &dyn Fn(&mut HashMap<String, Tensor>)| {
        let (path, gradients) = files(dir.path(), change);
        super::weights::open(&path, Some(&gradients), &size).map(drop).map_err(|it| it.to_string())
    };
    open(tiny(), &|_| {}).unwrap();
    let zeros = || Tensor::zeros(1, DType::F32, &Device::Cpu).unwrap();
    let error = open(tiny(), &|all| drop(all.insert("cls_token".into(), zeros()))).unwrap_err();
    assert!(error.contains("`cls_token` belongs to no part"), "{error}");
    let error = open(tiny(), &|all| drop(all.remove("norm.bias"))).unwrap_err();
    assert!(error.contains("`norm.bias` is missing"), "{error}");
    let error = open(BrainJepaSize { depth: 1, ..tiny() }, &|_| {}).unwrap_err();
    assert!(error.contains("`blocks.1.attn.proj.bias` belongs to no part"), "{error}");
    let error = open(BrainJepaSize { dim: 16, ..tiny() }, &|_| {}).unwrap_err();
    assert!(error.contains("has shape [9, 4], expected [9, 8]"), "{error}");
    let error = open(BrainJepaSize { n_parcels: 1, n_frames: 18, ..tiny() }, &|_| {}).unwrap_err();
    assert!(error.contains("from the sines of 9 patches for each of 1 parcels"), "{error}");
    let error = open(tiny(), &|all| drop(all.remove("pos_embed_proj.emb_h"))).unwrap_err();
    assert!(error.contains("not Brain-JEPA's"), "{error}");
}

#[test]
fn gradients_that_do_not_fit_are_refused_with_their_file() {
    let dir = tempfile::tempdir().unwrap();
    let (weights, gradients) = files(dir.path(), |_| {});
    let said = |table: Option<&str>| {
        let gradients = table.map(|table| {
            std::fs::write(&gradients, table).unwrap();
            gradients.clone()
        });
        let config = BrainJepaConfig { gradients, ..config(WeightsSource::File(weights.clone())) };
        config.open_weights(&weights).map(drop).unwrap_err().to_string()
    };
    assert!(said(None).contains("name that (`gradients`)"), "{}", said(None));
    let error = said(Some("1,2,3,4,5\n2,3,4,5,6"));
    assert!(error.contains("gradients.csv: has gradients of 2 parcels"), "{error}");
    let error = said(Some("1,2,3,4,5\n2,3,n/a,5,6\n3,4,5,6,7"));
    assert!(error.contains("gradients.csv: row 2, column 3 is not a finite number"), "{error}");
    let error = said(Some("1,2\n2,3\n3,4"));
    assert!(error.contains("gradients.csv: has 2 gradients, the weights read 5"), "{error}");
    let given = BrainJepaConfig { gradients: Some(gradients), ..config(WeightsSource::Seed(1)) };
    let error = given.spec(INPUT).unwrap_err().to_string();
    assert!(error.contains("weights from a seed draw theirs"), "{error}");
}

#[test]
fn what_it_cannot_read_is_refused_in_one_sentence() {
    let seeded = config(WeightsSource::Seed(1));
    let said = |config: &BrainJepaConfig, input| config.spec(input).unwrap_err().to_string();
    let published = BrainJepaConfig { size: None, ..seeded.clone() };
    assert_eq!(
        said(&published, InputShape::Window { n_frames: 160, n_voxels: 424 }),
        "encoder `brain_jepa` needs series of the 450 parcels of tian50_schaefer400_17networks, but \
         the stages before it give series of 424 parcels"
    );
    let error = said(&published, InputShape::Window { n_frames: 200, n_voxels: 450 });
    assert!(error.contains("windows of 160 frames") && error.contains("windows of 200"), "{error}");
    let error = said(&seeded, InputShape::Volume { n_frames: 6, grid: [4, 4, 4] });
    assert!(error.contains("series of an atlas's parcels") && error.contains("4×4×4"), "{error}");
    let error = said(&BrainJepaConfig { tokens: TokenPolicy::Cls, ..seeded.clone() }, INPUT);
    assert!(error.contains("no class token"), "{error}");
    let odd = BrainJepaSize { n_heads: 3, ..tiny() };
    let error = said(&BrainJepaConfig { size: Some(odd), ..seeded }, INPUT);
    assert!(error.contains("3 heads do not divide a width of 8"), "{error}");
}

#[test]
fn learned_weights_ask_for_the_rate_and_scale_they_know() {
    let dir = tempfile::tempdir().unwrap();
    let (weights, gradients) = files(dir.path(), |_| {});
    let spec = |config: BrainJepaConfig| config.spec(INPUT).unwrap();
    let learned =
        BrainJepaConfig { gradients: Some(gradients), ..config(WeightsSource::File(weights)) };
    let given = |t_r_s, normalisation: &str| Preparation {
        space: InputSpace::Parcels { atlas: Some("mine".to_owned()), n: 3, coordinates: false },
        n_frames: 6,
        t_r_s: Some(t_r_s),
        normalisation: Some(normalisation.to_owned()),
    };
    let learned = spec(learned);
    learned.check(&given(2.0, "global_z")).unwrap();
    learned.check(&given(2.4, "robust_means")).unwrap();
    let error = learned.check(&given(0.735, "global_z")).unwrap_err().to_string();
    assert!(error.contains("a TR of 2.2 s") && error.contains("0.735 s"), "{error}");
    let error = learned.check(&given(2.2, "robust_paper")).unwrap_err().to_string();
    assert!(error.contains("global_z or robust_means"), "{error}");
    spec(config(WeightsSource::Seed(1))).check(&given(0.735, "robust_paper")).unwrap();
}
