//! The media of a batch, sorted by the encoders that read them.

use std::borrow::Borrow;

use candle_core::{DType, Result as CandleResult, Tensor};
use encoder::{EncoderInput, InputShape, Tokens};
use nn::Device;

use crate::{Medium, PerceiverResampler, Result, encoder_input};

/// What the texts of a batch are shown: for each encoder the media that it reads.
#[derive(Clone, Debug)]
pub struct MediaInput {
    pub(crate) groups: Vec<Group>,
    pub(crate) layout: Layout,
}

/// What one encoder reads of a batch.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// Its number: 0 is the model's own.
    pub(crate) encoder: usize,
    pub(crate) input: EncoderInput,
}

/// Where the media of all groups, one after another, stand in the batch.
#[derive(Clone, Debug)]
pub(crate) enum Layout {
    /// As they are: one group has all, `(batch, n_media, …)`.
    Whole,
    /// `row · n_media + place` of each, of a batch of so many rows and media.
    Scattered { batch: usize, n_media: usize, places: Vec<usize> },
}

impl From<EncoderInput> for MediaInput {
    /// All media of the model's own encoder, none missing.
    fn from(input: EncoderInput) -> Self {
        Self { groups: vec![Group { encoder: 0, input }], layout: Layout::Whole }
    }
}

impl MediaInput {
    /// Sorts the media of a batch by their encoders: each row has as many media as numbers of encoders, and `inputs` are
    /// the sizes of what the encoders read. A medium of no windows, `(0, …)`, is missing: no text sees its place.
    ///
    /// # Errors
    /// Where a medium has not the size of its encoder's.
    pub fn sorted<M: Borrow<Medium>>(
        rows: &[(&[M], &[usize])],
        inputs: &[InputShape],
        device: &Device,
    ) -> Result<Self> {
        let n_media = rows.iter().map(|(media, _)| media.len()).max().unwrap_or(0);
        let (mut groups, mut places) = (Vec::new(), Vec::new());
        for (encoder, &shape) in inputs.iter().enumerate() {
            let mut own: Vec<[&Medium; 1]> = Vec::new();
            for (row, (media, encoders)) in rows.iter().enumerate() {
                for (place, (medium, of)) in media.iter().zip(*encoders).enumerate() {
                    let medium: &Medium = medium.borrow();
                    if *of == encoder && !medium.is_empty() {
                        own.push([medium]);
                        places.push(row * n_media + place);
                    }
                }
            }
            let each: Vec<&[&Medium]> = own.iter().map(<[&Medium; 1]>::as_slice).collect();
            let input = encoder_input(&each, shape, device)?;
            groups.extend(input.map(|input| Group { encoder, input }));
        }
        let layout = Layout::Scattered { batch: rows.len(), n_media, places };
        Ok(Self { groups, layout })
    }

    /// With the parcels' coordinates in mm, for the model's own encoder.
    ///
    /// # Errors
    /// As those of candle.
    pub fn with_coordinates(mut self, coordinates: &[[f64; 3]]) -> CandleResult<Self> {
        for group in self.groups.iter_mut().filter(|it| it.encoder == 0) {
            group.input = group.input.clone().with_coordinates(coordinates)?;
        }
        Ok(self)
    }
}

impl Layout {
    /// For each group which of the media of a single row are in it, in its order.
    pub(crate) fn media_of(&self, groups: &[Tokens]) -> CandleResult<Vec<Vec<usize>>> {
        let mut all = Vec::with_capacity(groups.len());
        let mut before = 0;
        for tokens in groups {
            let (rows, n_media, ..) = tokens.values.dims5()?;
            all.push(match self {
                Self::Whole => (0..n_media).collect(),
                Self::Scattered { places, .. } => places[before..before + rows].to_vec(),
            });
            before += rows;
        }
        Ok(all)
    }

    /// Latents `(batch, n_media, n_latents, dim)` of the tokens of all groups, and which of the media are there; absent:
    /// all are. The latents of a missing medium are zeros.
    pub(crate) fn latents(
        &self,
        resampler: &PerceiverResampler,
        groups: &[Tokens],
    ) -> CandleResult<(Tensor, Option<Vec<Vec<bool>>>)> {
        let (batch, n_media, places) = match (self, groups) {
            (Self::Whole, [tokens]) => return Ok((resampler.forward(tokens)?, None)),
            (Self::Whole, _) => candle_core::bail!("{} groups of media, expected 1", groups.len()),
            (Self::Scattered { batch, n_media, places }, _) => (*batch, *n_media, places),
        };
        let (n_latents, dim) = resampler.latents().dims2()?;
        let nothing = Tensor::zeros((1, n_latents, dim), DType::F32, resampler.latents().device())?;
        let nothing = nothing.to_dtype(resampler.latents().dtype())?;
        let (mut all, mut before) = (Vec::with_capacity(groups.len() + 1), 0);
        for tokens in groups {
            let n = tokens.values.dim(0)?;
            let at: Vec<u32> =
                places[before..before + n].iter().map(|place| (place % n_media) as u32).collect();
            all.push(resampler.forward_at(tokens, &at)?.squeeze(1)?);
            before += n;
        }
        // behind all others stands what every missing one gets
        all.push(nothing);
        let mut from = vec![before as u32; batch * n_media];
        for (&place, source) in places.iter().zip(0..) {
            from[place] = source;
        }
        let present = from
            .chunks(n_media.max(1))
            .map(|row| row.iter().map(|&source| source != before as u32).collect::<Vec<bool>>());
        let present = present.collect();
        let from = Tensor::from_vec(from, batch * n_media, resampler.latents().device())?;
        let latents = Tensor::cat(&all, 0)?.index_select(&from, 0)?;
        Ok((latents.reshape((batch, n_media, n_latents, dim))?, Some(present)))
    }
}
