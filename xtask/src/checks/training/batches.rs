//! The micro-batches of a recorded training.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use candle_core::{DType, Tensor};
use encoder::EncoderInput;
use flamingo::Prompts;
use nn::Device;
use serde_json::Value;
use train::{MixtureBatch, Padding, RowKind, Source};

use super::labels::signed;
use crate::checks::Worst;
use crate::checks::flamingo::case::{Spec, tensors};

/// One of the two sources.
pub(super) struct Recorded {
    kind: RowKind,
    multiplier: f64,
    /// `[micro-batch][row][token]`, without the filling of narrower batches.
    ids: Vec<Vec<Vec<u32>>>,
    real: Vec<Vec<Vec<bool>>>,
    labels: Vec<Vec<Vec<i64>>>,
    /// `[micro-batch][row][image]`, below 0 for an image of zeros.
    images: Vec<Vec<Vec<i64>>>,
    /// Images `(n, 3, height, width)`, the last of them zeros.
    pool: Tensor,
    n_batches: usize,
    special: [u32; 3],
}

/// Both sources, in the order in which they are learned.
pub(super) struct Batches([Recorded; 2]);

impl Batches {
    pub(super) fn open(folder: &Path, case: &Value, spec: &Spec, device: &Device) -> Result<Self> {
        let all = tensors(&folder.join("batches.safetensors"), device)?;
        let get =
            |name: &str| all.get(name).with_context(|| format!("batches.safetensors lacks {name}"));
        let pool = get("images.pool")?;
        let (_, channels, height, width) = pool.dims4()?;
        let zeros = Tensor::zeros((1, channels, height, width), DType::F32, pool.device())?;
        let pool = Tensor::cat(&[pool, &zeros], 0)?;
        let said = &case["spec"];
        let n_batches = said["num_batches"].as_u64().context("no num_batches")? as usize;
        let one = |name: &str, kind| -> Result<Recorded> {
            let whole = |part: &str| -> Result<Vec<Vec<Vec<i64>>>> {
                Ok(get(&format!("{name}.{part}"))?.to_dtype(DType::I64)?.to_vec3()?)
            };
            let (mut ids, mut real) = (whole("input_ids")?, whole("attention_mask")?);
            let mut labels = whole("labels")?;
            if let Some(widths) = all.get(&format!("{name}.width")) {
                let widths = widths.to_dtype(DType::I64)?.to_vec1::<i64>()?;
                for part in [&mut ids, &mut real, &mut labels] {
                    for (rows, &width) in part.iter_mut().zip(&widths) {
                        rows.iter_mut().for_each(|row| row.truncate(width as usize));
                    }
                }
            }
            let images = get(&format!("{name}.image_index"))?.to_dtype(DType::I64)?;
            // one image a row has no axis of its own
            let images = if images.rank() == 2 { images.unsqueeze(2)? } else { images };
            let multiplier = said[format!("loss_multiplier_{name}")].as_f64();
            let each = |part: Vec<Vec<Vec<i64>>>| -> Vec<Vec<Vec<u32>>> {
                let row = |row: Vec<i64>| row.into_iter().map(|id| id as u32).collect();
                part.into_iter().map(|rows| rows.into_iter().map(row).collect()).collect()
            };
            let flags = |rows: Vec<Vec<i64>>| {
                rows.into_iter().map(|row| row.into_iter().map(|flag| flag == 1).collect())
            };
            Ok(Recorded {
                kind,
                multiplier: multiplier.with_context(|| format!("no multiplier of {name}"))?,
                ids: each(ids),
                real: real.into_iter().map(|rows| flags(rows).collect()).collect(),
                labels,
                images: images.to_vec3()?,
                pool: pool.clone(),
                n_batches,
                special: [spec.media_token_id, spec.eoc_token_id, spec.pad_token_id],
            })
        };
        let both = [one("laion", RowKind::ImageText)?, one("mmc4", RowKind::Interleaved)?];
        let expected = n_batches * said["num_epochs"].as_u64().context("no num_epochs")? as usize;
        for source in &both {
            ensure!(source.ids.len() == expected, "{} micro-batches", source.ids.len());
        }
        Ok(Self(both))
    }

    pub(super) fn sources(&self) -> [&dyn Source; 2] {
        [&self.0[0], &self.0[1]]
    }

    pub(super) fn multipliers(&self) -> [f64; 2] {
        [self.0[0].multiplier, self.0[1].multiplier]
    }

    /// Compares the labels of every row with those that the original made.
    pub(super) fn labels(&self, worst: &mut Worst) {
        for source in &self.0 {
            for (at, expected) in source.labels.iter().enumerate() {
                let found: Vec<Vec<i64>> =
                    source.learned(at).iter().map(|row| signed(row)).collect();
                worst.equal(&format!("labels of {:?} {at}", source.kind), &found, expected);
            }
        }
    }
}

impl Recorded {
    fn learned(&self, at: usize) -> Vec<Vec<Option<u32>>> {
        let [image, end, pad] = self.special;
        let row = |ids: &Vec<u32>| train::labels(self.kind, ids, Padding::Id(pad), image, end);
        self.ids[at].iter().map(row).collect()
    }

    fn media(&self, at: usize) -> candle_core::Result<EncoderInput> {
        let (n_rows, n_images) = (self.images[at].len(), self.images[at][0].len());
        let (n_pool, channels, height, width) = self.pool.dims4()?;
        let place = |&idx: &i64| if idx < 0 { n_pool as u32 - 1 } else { idx as u32 };
        let places: Vec<u32> = self.images[at].iter().flatten().map(place).collect();
        let places = Tensor::from_vec(places, n_rows * n_images, self.pool.device())?;
        let values = self.pool.index_select(&places, 0)?;
        Ok(EncoderInput::new(values.reshape((n_rows, n_images, 1, channels, height, width))?))
    }
}

impl Source for Recorded {
    fn loss_multiplier(&self) -> f64 {
        self.multiplier
    }

    fn batch(&self, epoch: usize, idx: usize) -> train::Result<MixtureBatch> {
        let at = epoch * self.n_batches + idx;
        let text = Prompts::new(self.ids[at].clone(), self.real[at].clone(), self.special[0])?;
        Ok(MixtureBatch { media: self.media(at)?, text, labels: self.learned(at) })
    }
}
