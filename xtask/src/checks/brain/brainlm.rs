//! Cases recorded from BrainLM's own classes: regions × time, and the masked autoencoder of pictures.

use std::path::Path;

use anyhow::{Result, bail, ensure};
use candle_core::{DType, Device, Tensor};
use encoder::BrainLmNetwork;
use encoder::brainlm::{
    ImageConfig, ImageDecoder, ImageMae, Loss, Masking, RegionTime, RegionTimeConfig,
    RegionTimeDecoder, region_positions, row_order, square,
};
use nn::weights::Frozen;

use super::case::Case;
use crate::checks::Worst;

/// The kinds that this file knows.
pub(in crate::checks) const KINDS: [&str; 2] = ["brainlm_region_time", "brainlm_vit_mae"];

/// Raw rows of the picture's decoder that are recorded.
const FIRST_ROWS: usize = 40;

/// Compares everything that a case of one of [`KINDS`] records.
pub(in crate::checks) fn run(folder: &Path, _: &str, device: &nn::Device) -> Result<Worst> {
    let mut case = Case::open(folder, device)?;
    let network = BrainLmNetwork::published(&case.facts["config"]).map_err(anyhow::Error::msg)?;
    let weights = network.open_weights(&folder.join("weights.safetensors"))?;
    match &network {
        BrainLmNetwork::RegionTime(config) => case.region_time(config, &weights)?,
        BrainLmNetwork::Image(config) => case.image(config, &weights)?,
    }
    Ok(case.worst)
}

/// The decoder, where the recorded weights have one.
fn decodes(weights: &Frozen) -> bool {
    weights.contains("decoder.mask_token")
}

impl Case {
    fn order(&self) -> Result<Masking> {
        let ratio = self.facts["config"]["mask_ratio"].as_f64().unwrap_or(0.);
        Ok(Masking::new(&self.get("input.noise")?, ratio)?)
    }

    /// What both networks record of their encoder.
    fn compare_encoded(&mut self, states: &[Tensor], encoded: &Tensor) -> Result<()> {
        for (idx, state) in states.iter().enumerate() {
            self.compare(&format!("output.hidden_states.{idx}"), state)?;
        }
        self.compare("output.last_hidden_state", encoded)?;
        self.compare("output.cls", &encoded.narrow(1, 0, 1)?.squeeze(1)?)
    }

    fn compare_order(&mut self, order: &Masking) -> Result<()> {
        if self.io.contains("output.ids_restore") {
            let recorded = self.get("output.ids_restore")?.to_dtype(DType::U32)?;
            let recorded = recorded.to_vec2::<u32>()?;
            self.worst.equal("output.ids_restore", &order.restore().to_vec2::<u32>()?, &recorded);
        }
        Ok(())
    }

    fn compare_number(&mut self, name: &str, found: f64) -> Result<()> {
        self.compare(name, &Tensor::from_slice(&[found], 1, &Device::Cpu)?)
    }

    fn region_time(&mut self, config: &RegionTimeConfig, weights: &Frozen) -> Result<()> {
        let vb = weights.builder(DType::F32).on(&self.device);
        let network = RegionTime::new(config, vb.clone())?;
        let signals = self.get("input.signal_vectors")?;
        let places = self.get("input.xyz_vectors")?;
        let (batch, n_parcels, n_frames) = signals.dims3()?;
        let n_patches = n_frames / config.timepoint_patching_size;
        let order = self.order()?;
        self.compare_order(&order)?;
        let hidden = order.hidden()?.reshape((batch, n_parcels, n_patches))?;
        self.compare("output.mask", &hidden)?;
        let table = region_positions(n_patches, config.hidden_size, &signals)?;
        self.compare("output.position_table", &table)?;
        let mut states = Vec::new();
        let encoded = network
            .encode(&signals, &places, Some(&order), &mut |_, xs| states.push(xs.clone()))?;
        self.compare_encoded(&states, &encoded)?;
        if !decodes(weights) {
            return Ok(());
        }
        let decoder = RegionTimeDecoder::new(config, vb)?;
        let mut states = Vec::new();
        let predicted =
            decoder.decode(&encoded, &places, &order, &mut |_, xs| states.push(xs.clone()))?;
        for (idx, state) in states.iter().enumerate() {
            let name = idx.checked_sub(1).map(|layer| format!("decoder.layer.{layer}"));
            self.compare(name.as_deref().unwrap_or("decoder.input"), state)?;
        }
        self.compare("output.logits", &predicted)?;
        let truth = signals.reshape(predicted.dims())?;
        let hidden = hidden.unsqueeze(3)?.broadcast_as(predicted.shape())?.contiguous()?;
        let loss = Loss::new(&predicted, &truth, &hidden)?;
        self.compare_number("output.loss_mse", loss.mse)?;
        self.compare_number("output.loss_mae", loss.mae)
    }

    fn image(&mut self, config: &ImageConfig, weights: &Frozen) -> Result<()> {
        let vb = weights.builder(DType::F32).on(&self.device);
        let network = ImageMae::new(config, vb.clone())?;
        let signals = self.get("input.recording")?.unsqueeze(0)?;
        let (_, n_parcels, n_frames) = signals.dims3()?;
        let rows = self.rows()?;
        let picture = square(&signals, &rows, config)?;
        self.compare("input.image", &picture.squeeze(0)?)?;
        let order = self.order()?;
        self.compare_order(&order)?;
        self.compare("output.token_mask", &order.hidden()?)?;
        let mut states = Vec::new();
        let encoded =
            network.encode(&picture, Some(&order), &mut |_, xs| states.push(xs.clone()))?;
        self.compare_encoded(&states, &encoded)?;
        if !decodes(weights) {
            return Ok(());
        }
        let decoder = ImageDecoder::new(config, vb)?;
        let patches = decoder.patches(&encoded, &order)?;
        let first = patches.narrow(1, 0, FIRST_ROWS.min(patches.dim(1)?))?;
        self.compare("decoder.tokens.first_40", &first)?;
        let predicted = decoder.window(&patches, n_parcels, n_frames)?;
        self.compare("output.logits", &predicted)?;
        if self.io.contains("output.loss") {
            let (top, left) = config.margins(n_frames)?;
            let truth = picture.narrow(1, top, n_parcels)?.narrow(2, left, n_frames)?;
            let hidden = decoder.hidden(&order, n_parcels, n_frames)?;
            self.compare_number("output.loss", Loss::new(&predicted, &truth, &hidden)?.mse)?;
        }
        Ok(())
    }

    /// The rows of the picture, by the recorded coordinates; they must be the recorded ones.
    fn rows(&mut self) -> Result<Tensor> {
        let places = self.get("input.coordinates")?.to_dtype(DType::F64)?.to_vec2::<f64>()?;
        let places: Vec<[f64; 3]> = places
            .into_iter()
            .map(|at| match at[..] {
                [x, y, z] => Ok([x, y, z]),
                _ => bail!("coordinates of {} numbers", at.len()),
            })
            .collect::<Result<_>>()?;
        let order = row_order(&places);
        let recorded = self.get("input.row_order")?.to_dtype(DType::U32)?.to_vec1::<u32>()?;
        ensure!(recorded.len() == order.len(), "{} rows recorded", recorded.len());
        self.worst.equal("input.row_order", &order, &recorded);
        Ok(Tensor::from_slice(&order, order.len(), &Device::Cpu)?)
    }
}
