use std::path::Path;

use candle_core::{DType, Device, Result, Tensor};
use nn::gradcheck::{check, sample};
use nn::weights::{Outline, Variables, save};

use super::*;
use crate::{InputShape, TokenPolicy, Trainable, WeightsSource};

fn tiny() -> RegionTimeConfig {
    RegionTimeConfig {
        hidden_size: 8,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 12,
        decoder_num_hidden_layers: 1,
        decoder_num_attention_heads: 2,
        decoder_intermediate_size: 12,
        num_brain_voxels: 3,
        num_timepoints_per_voxel: 8,
        timepoint_patching_size: 4,
        mask_ratio: 0.4,
        conv_kernel_size: 5,
        ..RegionTimeConfig::published_2023()
    }
}

/// Parameters of encoder and decoder.
fn n_region_time(config: &RegionTimeConfig) -> Result<usize> {
    let outline = Outline::default();
    RegionTime::new(config, outline.builder())?;
    RegionTimeDecoder::new(config, outline.builder())?;
    Ok(outline.n_parameters())
}

fn n_image(config: &ImageConfig) -> Result<usize> {
    let outline = Outline::default();
    ImageMae::new(config, outline.builder())?;
    ImageDecoder::new(config, outline.builder())?;
    Ok(outline.n_parameters())
}

// counted on the published classes with the published configurations
#[test]
fn the_published_sizes_have_the_published_numbers_of_parameters() -> Result<()> {
    // the head that the original builds and never uses: 768 rows and as many biases
    let unused = |config: &RegionTimeConfig| 768 * config.hidden_size + 768;
    let (first, second) = (RegionTimeConfig::published_2023(), RegionTimeConfig::old_13m());
    assert_eq!(n_region_time(&first)? + unused(&first), 5_047_724);
    assert_eq!(n_region_time(&second)? + unused(&second), 13_429_292);
    assert_eq!(n_image(&ImageConfig::vitmae_111m())?, 112_590_080);
    assert_eq!(n_image(&ImageConfig::vitmae_650m())?, 658_337_868);
    Ok(())
}

#[test]
fn a_config_may_leave_out_the_decoder_and_nothing_else() {
    let sizes = ImageConfig { patch_size: 12, ..ImageConfig::vitmae_111m() };
    let without = |gone: fn(&str) -> bool| {
        let mut config = serde_json::to_value(&sizes).unwrap();
        config.as_object_mut().unwrap().retain(|key, _| !gone(key));
        BrainLmNetwork::published(&config)
    };
    let read = without(|key| key.starts_with("decoder_")).unwrap();
    assert_eq!(read, BrainLmNetwork::Image(sizes.clone()));
    let refused = without(|key| key == "hidden_size").unwrap_err();
    assert!(refused.contains("hidden_size"), "{refused}");
}

#[test]
fn gradients_of_regions_and_time_match_finite_differences() -> Result<()> {
    let variables = Variables::default();
    let vb = variables.builder(1, DType::F64);
    let network = RegionTime::new(&tiny(), vb.clone())?;
    let decoder = RegionTimeDecoder::new(&tiny(), vb)?;
    let (signals, places) = (sample("signals", (1, 3, 8))?, sample("places", (1, 3, 3))?);
    let noise = Tensor::new(&[[0.3, 0.1, 0.9, 0.2, 0.5, 0.7f64]], &Device::Cpu)?;
    let order = Masking::new(&noise, tiny().mask_ratio)?;
    let named = variables.all();
    let mut vars: Vec<_> = named.iter().map(|(name, var)| (name.as_str(), var)).collect();
    vars.extend([("signals", &signals), ("places", &places)]);
    check(&vars, || {
        let encoded = network.encode(&signals, &places, Some(&order), &mut |_, _| {})?;
        let predicted = decoder.decode(&encoded, &places, &order, &mut |_, _| {})?;
        encoded.sqr()?.mean_all()? + predicted.sqr()?.sum_all()?
    })
}

#[test]
fn gradients_of_pictures_match_finite_differences() -> Result<()> {
    let (variables, config) = (Variables::default(), ImageConfig::tiny());
    let vb = variables.builder(1, DType::F64);
    let (network, decoder) = (ImageMae::new(&config, vb.clone())?, ImageDecoder::new(&config, vb)?);
    let signals = sample("signals", (1, config.n_parcels(), 8))?;
    let rows: Vec<u32> = (0..config.n_parcels() as u32).rev().collect();
    let rows = Tensor::from_slice(&rows, rows.len(), &Device::Cpu)?;
    let noise = sample("noise", (1, config.n_tokens()))?;
    let order = Masking::new(noise.as_tensor(), 0.5)?;
    let named = variables.all();
    let mut vars: Vec<_> = named.iter().map(|(name, var)| (name.as_str(), var)).collect();
    vars.push(("signals", &signals));
    check(&vars, || {
        let picture = square(&signals, &rows, &config)?;
        let encoded = network.encode(&picture, Some(&order), &mut |_, _| {})?;
        let patches = decoder.patches(&encoded, &order)?;
        let window = decoder.window(&patches, config.n_parcels(), 8)?;
        encoded.sqr()?.mean_all()? + (patches.sqr()?.mean_all()? + window.sqr()?.mean_all()?)?
    })
}

/// A weight file of the tiny network of regions × time.
fn written(path: &Path) {
    let variables = Variables::default();
    let vb = variables.builder(1, DType::F32);
    RegionTime::new(&tiny(), vb.clone()).unwrap();
    RegionTimeDecoder::new(&tiny(), vb).unwrap();
    save(path, &variables.tensors()).unwrap();
}

#[test]
fn a_file_of_the_bare_encoder_class_reads_like_one_of_the_whole_model() {
    let folder = tempfile::tempdir().unwrap();
    let variables = Variables::default();
    RegionTime::new(&tiny(), variables.builder(1, DType::F32)).unwrap();
    let bare = variables.tensors().into_iter();
    let bare = bare.map(|(name, tensor)| (name.replacen("vit.", "", 1), tensor)).collect();
    let path = folder.path().join("bare.safetensors");
    save(&path, &bare).unwrap();
    BrainLmNetwork::RegionTime(tiny()).open_weights(&path).unwrap();
}

#[test]
fn a_file_of_the_other_network_or_of_another_width_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pytorch_model.safetensors");
    written(&path);
    BrainLmNetwork::RegionTime(tiny()).open_weights(&path).unwrap();
    let other = BrainLmNetwork::Image(ImageConfig::tiny()).open_weights(&path).unwrap_err();
    let other = other.to_string();
    assert!(other.contains("pytorch_model.safetensors") && other.contains("`region_time`"));
    assert!(other.ends_with("expected those of `image`: the two share no weights"), "{other}");
    let wide = RegionTimeConfig { hidden_size: 16, ..tiny() };
    let wide = BrainLmNetwork::RegionTime(wide).open_weights(&path).unwrap_err().to_string();
    assert!(wide.contains("has shape [8], this model needs [16]"), "{wide}");
    let told = BrainLmNetwork::of_weights(&path, None).unwrap();
    assert_eq!(told.hidden_size(), 8);
}

#[test]
fn windows_that_do_not_fit_are_refused_in_one_sentence() {
    let config = BrainLmConfig {
        network: BrainLmNetwork::RegionTime(RegionTimeConfig::published_2023()),
        weights: WeightsSource::Seed(1),
        trainable: Trainable::None,
        tokens: TokenPolicy::DataOnly,
        features: Features::AfterNorm,
    };
    let window = |n_frames, n_voxels| InputShape::Window { n_frames, n_voxels };
    let spec = config.spec(window(200, 424)).unwrap();
    assert_eq!((spec.vis_dim, spec.n_tokens()), (256, 4240));
    let said = |input| config.spec(input).unwrap_err().to_string();
    assert!(said(window(32, 424)).contains("a multiple of 20 frames"));
    assert!(said(window(200, 400)).contains("424 parcels"));
    assert!(said(InputShape::Image { size: 224 }).contains("an atlas's parcels"));
}
