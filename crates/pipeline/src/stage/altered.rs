//! Scans shown to the model once more, after something was changed in them.
use std::sync::Arc;

use encoder::{FrozenEncoder, InputShape};
use flamingo::Medium;
use ndarray::Array2;
use preprocess::{Cut, PreparedScan, StoredSeries};
use scan::{Phases, phase_randomised, time_permuted};

use super::{EncodeConfig, Stage, encode, given};
use crate::{Result, media::Media};

/// What is changed in a series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Change<'a> {
    /// The phase of every frequency is drawn.
    Phases(Phases),
    /// Its frames stand in another order.
    Permuted,
    /// Columns hold a constant each: `by[column]`.
    Replaced { columns: &'a [usize], by: &'a [f64] },
}

impl Change<'_> {
    fn of(self, series: &Array2<f64>, seed: u64) -> Array2<f64> {
        match self {
            Self::Phases(phases) => phase_randomised(series.view(), phases, seed),
            Self::Permuted => time_permuted(series.view(), seed),
            Self::Replaced { columns, by } => {
                let mut changed = series.clone();
                for &column in columns {
                    changed.column_mut(column).fill(by[column]);
                }
                changed
            }
        }
    }
}

/// Where a change is made.
pub(crate) enum Altered<'a> {
    /// In prepared series, which are then cut and encoded as those of the cohort were.
    Series(Encoding<'a>),
    /// In the windows of events, which are then changed as those of the cohort were: whitened.
    Windows,
    /// Nowhere, for this reason.
    Nowhere(&'static str),
}

/// The way from a series to what the model is shown.
pub(crate) struct Encoding<'a> {
    encode: &'a EncodeConfig,
    cut: &'a Cut,
    input: InputShape,
    /// None where the encoder is part of the model.
    frozen: Option<FrozenEncoder>,
    coordinates: Option<Vec<[f64; 3]>>,
}

impl<'a> Altered<'a> {
    pub(crate) fn open(media: &'a Media<'_>) -> Result<Self> {
        if media.tokens.is_none() {
            return Ok(Self::Windows);
        }
        let encode = media.plan.spec().stages().iter().find_map(|stage| match stage {
            Stage::Encode(config) => Some(config),
            _ => None,
        });
        let encode = encode.expect("tokens come from this stage");
        let config = encode::encoder_of(media);
        if given::stored(&config).is_some() {
            return Ok(Self::Nowhere("its tokens were made elsewhere"));
        }
        let input = given::input(&config, media)?;
        if matches!(input, InputShape::Volume { .. }) {
            return Ok(Self::Nowhere("the model reads volumes"));
        }
        let device = media.plan.loaded.device()?;
        let frozen =
            (!encode::trained(&config)).then(|| FrozenEncoder::open(&config, input, device));
        let frozen = frozen.transpose()?;
        let coordinates = media.series().and_then(|it| it.about.coordinates());
        let cut = encode::windows(media);
        Ok(Self::Series(Encoding { encode, cut, input, frozen, coordinates }))
    }

    /// What the model is shown of a row after a change; `seed` and the place of the scan or window decide
    /// what is drawn.
    pub(crate) fn medium(
        &self,
        media: &Media<'_>,
        row: usize,
        change: Change<'_>,
        seed: u64,
    ) -> Result<Arc<Medium>> {
        match self {
            Self::Series(encoding) => {
                let idx = media.cohort().rows[row].scan_idx;
                let mut series = series(media, idx)?;
                series.values = change.of(&series.values, seed.wrapping_add(idx as u64));
                let onset_s = media.events().map(|_| media.onset_s(row));
                encoding.medium(media, idx, series, onset_s)
            }
            Self::Windows => {
                let window = media.cleaned(row)?.mapv(f64::from);
                let changed = change.of(&window, seed.wrapping_add(row as u64));
                Ok(Arc::new(media.shown(changed.mapv(|x| x as f32))?.into_dyn()))
            }
            Self::Nowhere(_) => unreachable!("nothing is changed there"),
        }
    }
}

/// The prepared series of a scan that is there.
pub(crate) fn series(media: &Media<'_>, idx: usize) -> Result<StoredSeries> {
    let series = media.series().expect("windows come from series");
    let unit = series.units[idx].as_ref().expect("rows_of gives rows that are there");
    Ok(StoredSeries::read(unit)?)
}

impl Encoding<'_> {
    /// Of all windows of a scan, or of that of an event.
    fn medium(
        &self,
        media: &Media<'_>,
        idx: usize,
        series: StoredSeries,
        onset_s: Option<f64>,
    ) -> Result<Arc<Medium>> {
        let prepared = PreparedScan::of(series.into(), &media.scans()[idx], self.cut, onset_s)?;
        let prepared = media.as_shown(prepared)?;
        let tokens =
            prepared.tokens(self.frozen.as_ref(), self.input, self.coordinates.as_deref())?;
        Ok(Arc::new(self.encode.medium(tokens, self.input)))
    }
}
