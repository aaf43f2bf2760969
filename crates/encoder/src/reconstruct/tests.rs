//! A recorded case, sums by hand, and a small network that was trained on one scale.

use std::path::{Path, PathBuf};

use candle_core::Var;
use candle_nn::optim::{AdamW, Optimizer, ParamsAdamW};
use nn::weights::{Frozen, Variables, save};

use super::*;
use crate::brainlm::{BrainLmConfig, Features, Loss, RegionTimeConfig};
use crate::{TokenPolicy, Trainable, WeightsSource};

fn config(network: BrainLmNetwork, weights: WeightsSource) -> EncoderConfig {
    EncoderConfig::BrainLm(BrainLmConfig {
        network,
        weights,
        trainable: Trainable::None,
        tokens: TokenPolicy::DataOnly,
        features: Features::default(),
    })
}

#[test]
fn the_sums_are_those_of_a_calculation_by_hand() {
    let truth = [vec![1., 3., 5., 7.], vec![2., 2., 8., 4.]];
    let hidden = [vec![0., 0., 1., 1.], vec![1., 0., 0., 0.]];
    let predicted = [vec![9., 9., 6., 7.], vec![0., 9., 9., 9.]];
    let filled = Filled::measured(&predicted, &truth, &hidden);
    let fit = filled.fit().unwrap();
    // hidden: 5, 7, 2 with mean 14/3; errors of the model: 1, 0, 4
    let spread = 78. - 3. * (14f64 / 3.).powi(2);
    assert!((fit.r2 - (1. - 5. / spread)).abs() < 1e-12 && fit.n_hidden == 3);
    // shown of the parcels: 1 and 3; 2, 8 and 4
    let parcel = 9. + 25. + (14f64 / 3. - 2.).powi(2);
    assert!((fit.r2_parcel_mean - (1. - parcel / spread)).abs() < 1e-12);
    // shown at the same frames: 8, 4 and 1
    assert!((fit.r2_frame_mean - (1. - (9. + 9. + 1.) / spread)).abs() < 1e-12);
    assert!((fit.mse - 5. / 3.).abs() < 1e-12);
    // two halves together are the whole
    let half = |at: usize| Filled::measured(&predicted[at..=at], &truth[at..=at], &hidden[at..=at]);
    let joined = half(0).with(&half(1));
    assert_eq!(joined.n_hidden, 3);
    assert!((joined.spread - spread).abs() < 1e-12 && (joined.mean - 14. / 3.).abs() < 1e-12);
    assert!(Filled::default().fit().is_none());
}

#[test]
fn the_recorded_loss_of_the_original_comes_out() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/parity/brain/brainlm_vitmae_p16_masked_tiny");
    let facts = std::fs::read_to_string(folder.join("case.json")).unwrap();
    let facts: serde_json::Value = serde_json::from_str(&facts).unwrap();
    let network = BrainLmNetwork::published(&facts["config"]).unwrap();
    let io = Frozen::open(&folder.join("io.safetensors")).unwrap();
    let get = |name: &str| io.stored(name).unwrap().to_tensor(DType::F32).unwrap();
    let signals = get("input.recording").unsqueeze(0).unwrap();
    let n_frames = signals.dim(2).unwrap();
    let weights = WeightsSource::File(folder.join("weights.safetensors"));
    let input = InputShape::Window { n_frames, n_voxels: 424 };
    let opened =
        Reconstruction::open(&config(network, weights), input, None, &nn::Device::cpu()).unwrap();
    let places = get("input.coordinates").to_dtype(DType::F64).unwrap().to_vec2::<f64>().unwrap();
    let places: Vec<[f64; 3]> = places.iter().map(|at| [at[0], at[1], at[2]]).collect();
    let fit = opened.run(&signals, &places, &get("input.noise")).unwrap().fit().unwrap();
    let recorded = get("output.loss").flatten_all().unwrap().to_vec1::<f32>().unwrap()[0];
    assert!((fit.mse / f64::from(recorded) - 1.).abs() < 1e-4, "{} {recorded}", fit.mse);
    // R² of what was recorded: logits against the recording as rows ascending by Y, on the scale of the
    // picture, where its tokens are hidden
    let mut rows: Vec<u32> = (0..424).collect();
    rows.sort_by(|&a, &b| places[a as usize][1].total_cmp(&places[b as usize][1]));
    let rows = Tensor::from_vec(rows, 424, &candle_core::Device::Cpu).unwrap();
    let truth =
        (signals.squeeze(0).unwrap().index_select(&rows, 0).unwrap() / 5.643_085_5).unwrap();
    let side = 432 / 16;
    let hidden = get("output.token_mask").reshape((side, 1, side, 1)).unwrap();
    let hidden = hidden.broadcast_as((side, 16, side, 16)).unwrap().contiguous().unwrap();
    let hidden = hidden.reshape((432, 432)).unwrap().narrow(0, 4, 424).unwrap();
    let hidden = hidden.narrow(1, (432 - n_frames) / 2, n_frames).unwrap();
    let loss = Loss::new(&get("output.logits").squeeze(0).unwrap(), &truth, &hidden).unwrap();
    assert!((loss.mse / f64::from(recorded) - 1.).abs() < 1e-4, "{} {recorded}", loss.mse);
    assert!((fit.r2 - loss.r2).abs() < 1e-4, "{} {}", fit.r2, loss.r2);
}

const N_PARCELS: usize = 8;
const N_FRAMES: usize = 8;

fn tiny() -> RegionTimeConfig {
    RegionTimeConfig {
        hidden_size: 16,
        num_hidden_layers: 1,
        num_attention_heads: 2,
        intermediate_size: 32,
        decoder_num_hidden_layers: 1,
        decoder_num_attention_heads: 2,
        decoder_intermediate_size: 32,
        num_brain_voxels: N_PARCELS,
        num_timepoints_per_voxel: N_FRAMES,
        timepoint_patching_size: N_FRAMES,
        mask_ratio: 0.25,
        conv_kernel_size: 3,
        ..RegionTimeConfig::published_2023()
    }
}

fn places() -> Vec<[f64; 3]> {
    (0..N_PARCELS).map(|at| [0.1 * at as f64, -0.05 * at as f64, 0.2]).collect()
}

/// A window `(n_parcels, n_frames)` whose parcels share a signal of spread 1.
fn recording(name: &str) -> Vec<f32> {
    let shared = seeded::normal(1, name, N_FRAMES, 0., 1.);
    let own = seeded::normal(2, name, N_PARCELS * N_FRAMES, 0., 0.1);
    let values = own.iter().enumerate().map(|(at, own)| (shared[at % N_FRAMES] + own) as f32);
    values.collect()
}

/// Trains encoder and decoder on many such windows, and writes their weights.
fn trained(path: &Path) -> CandleResult<()> {
    let (config, variables) = (tiny(), Variables::default());
    let vb = variables.builder(3, DType::F32);
    let encoder = RegionTime::new(&config, vb.clone())?;
    let decoder = RegionTimeDecoder::new(&config, vb)?;
    let vars: Vec<Var> = variables.all().into_iter().map(|(_, var)| var).collect();
    let params = ParamsAdamW { lr: 5e-3, weight_decay: 0., ..ParamsAdamW::default() };
    let mut adam = AdamW::new(vars, params)?;
    let batch = 16;
    let flat: Vec<f32> = places().iter().flatten().map(|&x| x as f32).collect();
    let at = Tensor::from_vec(flat, (1, N_PARCELS, 3), &candle_core::Device::Cpu)?;
    let at = at.broadcast_as((batch, N_PARCELS, 3))?.contiguous()?;
    for step in 0..300 {
        let windows = (0..batch).flat_map(|item| recording(&format!("train {step} {item}")));
        let shape = (batch, N_PARCELS, N_FRAMES);
        let signals =
            Tensor::from_vec(windows.collect::<Vec<_>>(), shape, &candle_core::Device::Cpu)?;
        let init = Init::Uniform { lo: 0., up: 1. };
        let noise = seeded::initial(4, &format!("{step}"), batch * N_PARCELS, init)?;
        let noise = Tensor::from_vec(noise, (batch, N_PARCELS), &candle_core::Device::Cpu)?;
        let order = Masking::new(&noise, config.mask_ratio)?;
        let quiet = &mut |_: usize, _: &Tensor| {};
        let encoded = encoder.encode(&signals, &at, Some(&order), quiet)?;
        let predicted = decoder.decode(&encoded, &at, &order, quiet)?.squeeze(2)?;
        let hidden = order.hidden()?.unsqueeze(2)?;
        let errors = (predicted - signals)?.sqr()?.broadcast_mul(&hidden)?;
        adam.backward_step(&errors.mean_all()?)?;
    }
    save(path, &variables.tensors()).map_err(candle_core::Error::wrap)
}

#[test]
fn another_scale_than_that_of_the_training_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let path: PathBuf = dir.path().join("weights.safetensors");
    trained(&path).unwrap();
    let network = BrainLmNetwork::RegionTime(tiny());
    let input = InputShape::Window { n_frames: N_FRAMES, n_voxels: N_PARCELS };
    let opened = Reconstruction::open(
        &config(network, WeightsSource::File(path)),
        input,
        None,
        &nn::Device::cpu(),
    )
    .unwrap();
    let r2 = |change: &dyn Fn(usize, f32) -> f32| {
        let filled = (0..20).map(|at| {
            let signals = recording(&format!("test {at}"));
            let mut window = vec![0.; signals.len()];
            for (place, &x) in signals.iter().enumerate() {
                let (parcel, frame) = (place / N_FRAMES, place % N_FRAMES);
                window[frame * N_PARCELS + parcel] = change(parcel, x);
            }
            opened.fill(&window, &places(), 7, &format!("{at}")).unwrap()
        });
        filled.fold(Filled::default(), |all, one| all.with(&one)).fit().unwrap().r2
    };
    let right = r2(&|_, x| x);
    assert!(right > 0.6, "{right}");
    // not divided by the spread, not centred, and parcels that lie upside down
    for (what, wrong) in [
        ("scale", r2(&|_, x| 10. * x)),
        ("small", r2(&|_, x| 0.05 * x)),
        ("shift", r2(&|_, x| x + 3.)),
        ("signs", r2(&|parcel, x| if parcel % 2 == 0 { x } else { -x })),
    ] {
        assert!(wrong < right - 0.3, "{what}: {wrong} and {right}");
    }
    // the same seed hides the same patches
    assert_eq!(right, r2(&|_, x| x));
}

#[test]
fn what_cannot_be_filled_in_is_refused() {
    let network = || BrainLmNetwork::RegionTime(tiny());
    let input = InputShape::Window { n_frames: N_FRAMES, n_voxels: N_PARCELS };
    let said = |config: &EncoderConfig, ratio| {
        Reconstruction::open(config, input, ratio, &nn::Device::cpu()).err().unwrap().to_string()
    };
    let error = said(&EncoderConfig::Connectivity(crate::ConnectivityConfig::default()), None);
    assert!(error.starts_with("encoder `connectivity` has no decoder"), "{error}");
    let seed = config(network(), WeightsSource::Seed(1));
    for ratio in [0., 0.99, 1., -1.] {
        let error = said(&seed, Some(ratio));
        assert!(error.contains("of 8 patches is hidden, expected some and not all"), "{error}");
    }
    // an encoder alone
    let dir = tempfile::tempdir().unwrap();
    let (path, alone) = (dir.path().join("w.safetensors"), Variables::default());
    RegionTime::new(&tiny(), alone.builder(1, DType::F32)).unwrap();
    save(&path, &alone.tensors()).unwrap();
    let error = said(&config(network(), WeightsSource::File(path)), None);
    assert!(error.contains("w.safetensors: its weights have no decoder"), "{error}");
    // values that are no numbers
    let opened = Reconstruction::open(&seed, input, None, &nn::Device::cpu()).unwrap();
    let error = opened.fill(&[f32::NAN; 64], &places(), 1, "window 3").unwrap_err().to_string();
    assert_eq!(error, "encoder `brainlm`: the values of the window are not all finite numbers");
}
