//! What an encoder must be fed; preprocessing is planned from it, before any scan is opened.

use std::fmt;

use scan::PadPolicy;
use serde::{Deserialize, Serialize};

use crate::{Error, InputSpace, Result, TokenLayout, TokenPolicy, canonical_atlas};

/// How many frames a window may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WindowLength {
    /// Any number but none.
    Any,
    /// This many.
    Exactly(usize),
    /// So many, or twice, or three times as many, up to `most`.
    MultipleOf {
        /// Frames that make one token.
        of: usize,
        /// Where learned or stored positions end.
        most: usize,
    },
    /// From `least` to `most`.
    Between {
        /// Fewest frames.
        least: usize,
        /// Most frames.
        most: usize,
    },
}

impl WindowLength {
    /// Whether a window of `n_frames` will do.
    pub fn fits(self, n_frames: usize) -> bool {
        match self {
            Self::Any => n_frames > 0,
            Self::Exactly(n) => n_frames == n,
            Self::MultipleOf { of, most } => {
                n_frames > 0 && n_frames.is_multiple_of(of) && n_frames <= most
            }
            Self::Between { least, most } => (least..=most).contains(&n_frames),
        }
    }
}

impl fmt::Display for WindowLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Any => f.write_str("windows of at least 1 frame"),
            Self::Exactly(n) => write!(f, "windows of {n} frames"),
            Self::MultipleOf { of, most } => {
                write!(f, "windows of a multiple of {of} frames, at most {most}")
            }
            Self::Between { least, most } => write!(f, "windows of {least} to {most} frames"),
        }
    }
}

/// A repetition time and how far from it a scan may be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RepetitionTime {
    /// Seconds.
    pub t_r_s: f64,
    /// Seconds more or less that make no difference.
    pub tolerance_s: f64,
}

/// What may be done with the weights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Licence {
    /// Its name.
    pub name: String,
    /// Research only: said at import, in the plan and in the card.
    pub non_commercial: bool,
    /// Neither copies nor changed weights may be handed on: a package names them and holds none.
    pub no_derivatives: bool,
}

impl Licence {
    /// A licence that allows commercial use, or one that only the weights' owner knows.
    pub fn named(name: &str) -> Self {
        Self { name: name.to_owned(), non_commercial: false, no_derivatives: false }
    }

    /// A licence for research only.
    pub fn non_commercial(name: &str) -> Self {
        Self { non_commercial: true, ..Self::named(name) }
    }

    /// A licence for research only, of weights that are handed on as they are or not at all.
    pub fn no_derivatives(name: &str) -> Self {
        Self { no_derivatives: true, ..Self::non_commercial(name) }
    }
}

/// What an encoder needs and gives.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EncoderSpec {
    /// The encoder's name in the YAML.
    pub name: &'static str,
    /// Name and version of the architecture.
    pub id: String,
    /// The kind of data.
    pub input: InputSpace,
    /// Frames that a window may have.
    pub window: WindowLength,
    /// Where the weights were trained on one; absent: any.
    pub t_r: Option<RepetitionTime>,
    /// Names of the normalisations that the weights expect; none: whatever they were trained with.
    pub normalisations: Vec<String>,
    /// Width of a token.
    pub vis_dim: usize,
    /// How the tokens of one window lie.
    pub layout: TokenLayout,
    /// Which of them reach the resampler.
    pub tokens: TokenPolicy,
    /// Licence of the weights.
    pub licence: Licence,
    /// How the authors' code fills up a scan that is shorter than a window; empty: not at all.
    pub short_scans: Vec<PadPolicy>,
    /// Whether tokens of moments that its mask hides are left out, not made of a mask's token.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub drops_masked: bool,
}

/// What the stages before the encoder give, as far as it is known before a scan is opened.
#[derive(Clone, Debug, PartialEq)]
pub struct Preparation {
    /// The kind of data.
    pub space: InputSpace,
    /// Frames in a window.
    pub n_frames: usize,
    /// Seconds between frames, where all scans have the same.
    pub t_r_s: Option<f64>,
    /// Name of the normalisation; absent: none was done.
    pub normalisation: Option<String>,
}

impl EncoderSpec {
    /// Tokens of one window that reach the resampler.
    pub fn n_tokens(&self) -> usize {
        self.layout.n_tokens(self.tokens)
    }

    /// Refuses a window of a length that the encoder cannot read.
    pub fn check_window(&self, n_frames: usize) -> Result<()> {
        let found = || format!("windows of {n_frames}");
        self.require(self.window.fits(n_frames), || (self.window.to_string(), found()))
    }

    /// Refuses to fill up short scans in a way that learned weights have not seen, or with a mask that
    /// the encoder does not have.
    pub fn check_short_scans(&self, pad: PadPolicy, learned: bool) -> Result<()> {
        let known = pad == PadPolicy::Refuse || self.short_scans.contains(&pad);
        if known || (!learned && pad != PadPolicy::Masked) {
            return Ok(());
        }
        let word = |pad: &PadPolicy| {
            serde_json::to_value(pad).ok().and_then(|it| it.as_str().map(str::to_owned))
        };
        let all = [&PadPolicy::Refuse].into_iter().chain(&self.short_scans);
        let expected: Vec<String> = all.filter_map(word).collect();
        let found = word(&pad).unwrap_or_default();
        let reason = format!(
            "short scans are filled up with `{found}`, which its authors' code does not do, expected {}",
            expected.join(" or ")
        );
        Err(Error::Setting { encoder: self.name, reason })
    }

    /// Why the policy takes too few tokens of a window of which `n_real` frames are of the scan.
    pub fn too_few_tokens(&self, n_real: usize) -> Error {
        let reason = format!(
            "tokens is `{}`, which takes fewer tokens of a window with {n_real} real frames than of a \
             whole one, expected cls, mean or time_mean where scans are shorter than a window",
            self.tokens
        );
        Error::Setting { encoder: self.name, reason }
    }

    /// Refuses series of another number of parcels.
    pub(crate) fn check_parcels(&self, found: usize) -> Result<()> {
        let fits = matches!(self.input, InputSpace::Parcels { n, .. } if n == found);
        self.require(fits, || (self.input.to_string(), format!("series of {found} parcels")))
    }

    /// Refuses data that the encoder was not made for, in one sentence that says why.
    pub fn check(&self, given: &Preparation) -> Result<()> {
        let spaces = || (self.input.to_string(), given.space.to_string());
        self.require(reads(&self.input, &given.space), spaces)?;
        self.check_window(given.n_frames)?;
        if let (Some(needed), Some(found)) = (self.t_r, given.t_r_s) {
            let RepetitionTime { t_r_s, tolerance_s } = needed;
            let near = (found - t_r_s).abs() <= tolerance_s;
            self.require(near, || {
                let expected = format!("a TR of {t_r_s} s, give or take {tolerance_s} s");
                let found = scan::seconds(found);
                (expected, format!("{found} s (a stage `resample_time` would change it)"))
            })?;
        }
        let known = |name: &String| self.normalisations.contains(name);
        let fits =
            self.normalisations.is_empty() || given.normalisation.as_ref().is_some_and(known);
        self.require(fits, || {
            let found = given.normalisation.clone();
            let found = found.unwrap_or_else(|| "values that were never normalised".to_owned());
            (format!("the normalisation {}", self.normalisations.join(" or ")), found)
        })
    }

    fn require(&self, fits: bool, said: impl FnOnce() -> (String, String)) -> Result<()> {
        if fits {
            return Ok(());
        }
        let (expected, found) = said();
        Err(Error::Input { encoder: self.name, expected, found })
    }
}

fn reads(needed: &InputSpace, given: &InputSpace) -> bool {
    use InputSpace as S;
    match (needed, given) {
        (
            S::Parcels { atlas, n, coordinates },
            S::Parcels { atlas: found, n: n_found, coordinates: there },
        ) => {
            let same = |atlas: &String| {
                found.as_deref().map(canonical_atlas) == Some(canonical_atlas(atlas))
            };
            atlas.as_ref().is_none_or(same) && n == n_found && (*there || !coordinates)
        }
        (S::Voxels { .. }, S::Voxels { .. }) => true,
        // an encoder of any values does not ask what they are
        (S::Voxels { n }, S::Parcels { n: found, .. }) => n == found,
        (needed, given) => needed == given,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> EncoderSpec {
        EncoderSpec {
            name: "brainlm",
            id: "test_v1".to_owned(),
            input: parcels(424, true),
            window: WindowLength::MultipleOf { of: 20, most: 100_000 },
            t_r: Some(RepetitionTime { t_r_s: 0.735, tolerance_s: 0.05 }),
            normalisations: vec!["robust_paper".to_owned()],
            vis_dim: 8,
            layout: TokenLayout::plain(4),
            tokens: TokenPolicy::All,
            licence: Licence::named("none"),
            short_scans: Vec::new(),
            drops_masked: false,
        }
    }

    fn parcels(n: usize, coordinates: bool) -> InputSpace {
        InputSpace::Parcels { atlas: Some("A424".to_owned()), n, coordinates }
    }

    fn given() -> Preparation {
        Preparation {
            space: parcels(424, true),
            n_frames: 200,
            t_r_s: Some(0.72),
            normalisation: Some("robust_paper".to_owned()),
        }
    }

    fn said(given: &Preparation) -> String {
        spec().check(given).unwrap_err().to_string()
    }

    #[test]
    fn what_fits_is_taken() {
        spec().check(&given()).unwrap();
        spec().check(&Preparation { t_r_s: None, ..given() }).unwrap();
    }

    #[test]
    fn each_mismatch_is_one_sentence_with_both_sides() {
        let other = Preparation { space: parcels(400, true), ..given() };
        assert_eq!(
            said(&other),
            "encoder `brainlm` needs series of the 424 parcels of A424 with coordinates, but the \
             stages before it give series of the 400 parcels of A424 with coordinates"
        );
        let other = Preparation { space: InputSpace::Voxels { n: 480 }, ..given() };
        assert!(said(&other).ends_with("give series of the voxels of a mask"));
        assert!(spec().check(&Preparation { space: parcels(424, false), ..given() }).is_err());
        let other = said(&Preparation { n_frames: 32, ..given() });
        assert!(other.contains("a multiple of 20 frames") && other.contains("windows of 32"));
        let other = said(&Preparation { t_r_s: Some(2.5), ..given() });
        assert!(other.contains("0.735 s") && other.contains("2.5 s"), "{other}");
        let other = said(&Preparation { normalisation: Some("demean".to_owned()), ..given() });
        assert!(other.contains("robust_paper") && other.ends_with("give demean"), "{other}");
        assert!(said(&Preparation { normalisation: None, ..given() }).contains("never normalised"));
    }

    #[test]
    fn lengths_of_windows() {
        let multiple = WindowLength::MultipleOf { of: 20, most: 60 };
        let fits = |length: WindowLength, n: &[usize]| n.iter().all(|&n| length.fits(n));
        let none = |length: WindowLength, n: &[usize]| n.iter().all(|&n| !length.fits(n));
        assert!(fits(multiple, &[20, 60]) && none(multiple, &[0, 30, 80]));
        let between = WindowLength::Between { least: 2, most: 4 };
        assert!(fits(between, &[2, 4]) && none(between, &[1, 5]));
        assert!(fits(WindowLength::Exactly(9), &[9]) && none(WindowLength::Exactly(9), &[18]));
        assert!(fits(WindowLength::Any, &[1]) && none(WindowLength::Any, &[0]));
    }
}
