//! What a model package holds beside the weights: how a scan becomes the model's input, and how its
//! text becomes slots with probabilities.
mod parts;
mod reader;
mod section;

pub(crate) use parts::{Look, Packed};
pub(crate) use reader::{Reader, ShownScan};
pub(crate) use section::{Posed, Section};

use crate::{Result, answers::Trust, media::Media};

impl Packed {
    /// Everything that another machine needs to show the model a scan as this run does.
    pub(crate) fn of(media: &Media<'_>, trust: Trust) -> Result<Self> {
        section::packed(media, trust)
    }
}

#[cfg(test)]
mod tests;
