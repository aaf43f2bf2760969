//! What a model package holds beside the weights: how a scan becomes the model's input, and how its
//! text becomes slots with probabilities.
mod parts;
mod tokens;
mod windows;

pub(crate) use parts::{KnownScan, Look, Packed};

use std::path::Path;

use encoder::InputShape;
use flamingo::Model;
use preprocess::StepRegistry;
use report::slots::SlotSet;

use crate::{Error, OneScan, Result, answers::Trust, media::Media};
use tokens::TokenReader;
use windows::{Preprocessing, WindowReader};

impl Packed {
    /// Everything that another machine needs to show the model a scan as this run does.
    pub(crate) fn of(media: &Media<'_>, trust: Trust) -> Result<Self> {
        match &media.tokens {
            Some(set) => tokens::packed(media, set, trust),
            None => Ok(Preprocessing::packed(media, trust)),
        }
    }
}

/// A package ready to be given scans.
pub(crate) enum Reader {
    /// Its model sees one window of voxels.
    Windows(Box<WindowReader>),
    /// Its model sees tokens of a whole scan, or the windows that its own encoder makes them of.
    Tokens(Box<TokenReader>),
}

impl Reader {
    /// Takes the section and the files of an open package in `dir`.
    pub(crate) fn open(dir: &Path, model: &Model, steps: &StepRegistry) -> Result<Self> {
        if let InputShape::Image { .. } = model.manifest().input {
            let problem = format!("this model reads {}, no scans", model.manifest().input);
            return Err(Error::NoSuchWindow { path: dir.to_owned(), problem });
        }
        if model.manifest().preprocessing.get(tokens::SECTION).is_some() {
            return Ok(Self::Tokens(Box::new(TokenReader::open(dir, model, steps)?)));
        }
        Ok(Self::Windows(Box::new(WindowReader::open(dir, model)?)))
    }

    /// The scans of the cohort that the model was trained on.
    pub(crate) fn scans(&self) -> &[KnownScan] {
        match self {
            Self::Windows(reader) => &reader.preprocessing.scans,
            Self::Tokens(reader) => &reader.section.scans,
        }
    }

    /// What its model sees of a scan, which may be one of the cohort.
    pub(crate) fn look(&self, scan: &OneScan<'_>, known: Option<&KnownScan>) -> Result<Look> {
        match self {
            Self::Windows(reader) => reader.look(scan, known),
            Self::Tokens(reader) => reader.look(scan, known),
        }
    }

    /// How a text becomes slots, and their likelihoods probabilities.
    pub(crate) fn read_by(self) -> (SlotSet, Trust) {
        let (slots, temperature, of_slots) = match self {
            Self::Windows(reader) => {
                let it = reader.preprocessing;
                (it.slots, it.temperature, it.slot_trust)
            }
            Self::Tokens(reader) => {
                let it = reader.section;
                (it.slots, it.temperature, it.slot_trust)
            }
        };
        (slots, Trust { temperature, slots: of_slots })
    }
}
