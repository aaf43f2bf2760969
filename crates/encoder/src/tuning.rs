//! An encoder whose weights were published, or drawn from a seed, and what a training moves of it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use candle_core::DType;
use nn::weights::{Drawn, Frozen, Outline, Source, Thawed, Variables, corrected, unknown_target};
use nn::{Builder, Precision};
use serde::Serialize;

use crate::{EncoderConfig, Error, InputShape, Result, Trainable, WeightsSource};

/// Parameters of an encoder, by what a training does to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct EncoderParameters {
    /// Those that move.
    pub trainable: usize,
    /// Those that stay.
    pub frozen: usize,
}

impl EncoderConfig {
    /// The weights that a training begins with, matrices kept at `precision`: published, drawn from
    /// the seed that the settings name, or none.
    ///
    /// # Errors
    /// Where the file is not the encoder's.
    pub fn base(&self, precision: Precision) -> Result<Arc<dyn Source>> {
        Ok(match self.weights() {
            None => Arc::new(Frozen::from_tensors(Path::new("no weights"), HashMap::new())),
            Some(WeightsSource::Seed(seed)) => Arc::new(Drawn::new(*seed)),
            Some(_) => Arc::new(self.published_weights()?.kept(precision)),
        })
    }

    /// The encoder's weights: those of `base`, and in place of what `trainable` names, or beside it,
    /// those of `moving`.
    ///
    /// # Errors
    /// Where the encoder has no such blocks, or nothing would move.
    pub fn tuned(
        &self,
        base: impl Source + 'static,
        moving: impl Source + 'static,
    ) -> Result<Arc<dyn Source>> {
        let Some(blocks) = self.blocks()? else { return Ok(Arc::new(base)) };
        let encoder = blocks.encoder;
        let refuse = |reason: String| {
            Err(Error::Setting { encoder, reason: format!("trainable: {reason}") })
        };
        Ok(match self.trainable().clone() {
            Trainable::None => Arc::new(base),
            Trainable::All => {
                Arc::new(Thawed::new(base, moving, move |name| !blocks.is_still(name)))
            }
            Trainable::LastNBlocks(n) => {
                if n == 0 || n > blocks.n {
                    let last = blocks.n;
                    return refuse(format!(
                        "last_n_blocks is {n}, expected 1 to {last}, its blocks"
                    ));
                }
                Arc::new(Thawed::new(base, moving, move |name| blocks.is_among_last(n, name)))
            }
            Trainable::Lora(config) => {
                if let Some(problem) = config.problem() {
                    return refuse(problem);
                }
                let targets = match config.targets() {
                    Ok(targets) => targets,
                    Err(reason) => return refuse(reason),
                };
                let named = self.clone();
                let adapts = move |path: &str| {
                    let is_target =
                        targets.include(path) || targets.include(&named.published_name(path));
                    is_target && !blocks.is_still(path)
                };
                Arc::new(config.beside(base, moving, adapts))
            }
        })
    }

    /// A builder for a training from `seed`: what moves becomes variables in `variables`, which start
    /// at the encoder's weights, corrections at zero; what stays is constants.
    ///
    /// # Errors
    /// As [`Self::base`] and [`Self::tuned`].
    pub fn trained(&self, variables: &Variables, seed: u64) -> Result<Builder> {
        if self.weights().is_none() {
            return Ok(variables.builder(seed, DType::F32));
        }
        let base = self.base(Precision::default())?;
        let weights = match self.trainable() {
            Trainable::Lora(_) => self.tuned(base, variables.drawn(seed))?,
            _ => self.tuned(base.clone(), variables.started_at(base))?,
        };
        Ok(Builder::new(weights, DType::F32).on(variables.device()))
    }

    /// How many parameters a training moves for windows of this size, without reading any.
    ///
    /// # Errors
    /// As [`Self::tuned`], or where the settings name layers that the encoder lacks.
    pub fn parameters(&self, input: InputShape) -> Result<EncoderParameters> {
        let (stay, moving) = (Outline::default(), Outline::default());
        if self.weights().is_none() {
            let all = if self.trainable().moves() { &moving } else { &stay };
            self.build(input, all.builder())?;
        } else {
            let weights = self.tuned(stay.clone(), moving.clone())?;
            self.build(input, Builder::new(weights, DType::F32))?;
            self.check_targets(input)?;
        }
        Ok(EncoderParameters { trainable: moving.n_parameters(), frozen: stay.n_parameters() })
    }

    /// Refuses a target that no linear layer has.
    fn check_targets(&self, input: InputShape) -> Result<()> {
        let Trainable::Lora(config) = self.trainable() else { return Ok(()) };
        let encoder = self.name();
        let refuse =
            |reason: String| Error::Setting { encoder, reason: format!("trainable: {reason}") };
        let targets = config.targets().map_err(refuse)?;
        let all = Outline::default();
        let every = config.beside(Outline::default(), all.clone(), |_| true);
        self.build(input, Builder::new(every, DType::F32))?;
        let own = corrected(&all);
        let published = own.iter().map(|path| self.published_name(path));
        let mut known: Vec<String> = published.filter(|path| !own.contains(path)).collect();
        known.extend(own);
        unknown_target(&targets, &known).map_or(Ok(()), |reason| Err(refuse(reason)))
    }
}

#[cfg(test)]
mod tests;
