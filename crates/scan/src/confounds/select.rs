//! Columns and frames by strategy, as nilearn's `load_confounds` chooses them.
//!
//! Source: nilearn 0.14 `interfaces.fmriprep`; strategies after Wang et al. (2024) and Ciric et al.
//! (2017). Columns are in the order of their names. Frames before the magnet is in its steady
//! state are left out whatever the strategy.

use std::collections::BTreeSet;

use ndarray::{Array2, Axis};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConfoundTable, motion::MOTION};
use crate::error::{Error, Result};

/// Which relatives of a column are taken with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Expansion {
    /// None.
    Basic,
    /// Its change from frame to frame.
    Derivatives,
    /// Its square.
    Power2,
    /// Its change, its square, and the square of its change.
    Full,
}

/// Frames that moved too far are left out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MotionScrub {
    /// Runs of kept frames shorter than this are left out too; 0: none is.
    pub min_segment: usize,
    /// Largest framewise displacement in mm.
    pub fd_mm: f64,
    /// Largest standardised DVARS; absent: displacement alone decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub std_dvars: Option<f64>,
}

/// Which principal components of noisy tissue are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CompCor {
    /// Of white matter and fluid together.
    AnatCombined,
    /// Of white matter, and of fluid.
    AnatSeparated,
    /// Of the voxels that vary most.
    Temporal,
    /// Temporal, then anatomical together.
    TemporalAnatCombined,
    /// Temporal, then anatomical apart.
    TemporalAnatSeparated,
}

/// How many components of each kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NCompCor {
    /// As many as the table has.
    All,
    /// The first so many.
    First(usize),
}

/// Columns and frames, part by part. [`ConfoundStrategy`] names the usual sets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfoundConfig {
    /// Six motion parameters and their relatives.
    #[serde(default)]
    pub motion: Option<Expansion>,
    /// Mean signals of fluid and white matter.
    #[serde(default)]
    pub wm_csf: Option<Expansion>,
    /// Mean signal of the brain.
    #[serde(default)]
    pub global_signal: Option<Expansion>,
    /// Slow cosines.
    #[serde(default)]
    pub high_pass: bool,
    /// Principal components of noisy tissue; they need `high_pass`.
    #[serde(default)]
    pub compcor: Option<(CompCor, NCompCor)>,
    /// Frames that moved too far.
    #[serde(default)]
    pub scrub: Option<MotionScrub>,
    /// Further columns by name; a name that ends in `*` means all that begin so.
    #[serde(default)]
    pub columns: Vec<String>,
    /// Whether the mean over the kept frames is taken out of each column.
    pub demean: bool,
}

/// The usual sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ConfoundStrategy {
    /// 24 motion parameters, fluid and white matter, slow cosines.
    Simple,
    /// 24 motion parameters, 8 of fluid and white matter, slow cosines; frames left out above
    /// 0.5 mm or 1.5 standardised DVARS, and segments shorter than 5.
    Scrubbing,
    /// 24 motion parameters, slow cosines, all anatomical components.
    CompCor,
}

impl ConfoundStrategy {
    /// The parts of the set.
    pub fn config(self) -> ConfoundConfig {
        let simple = ConfoundConfig {
            motion: Some(Expansion::Full),
            wm_csf: Some(Expansion::Basic),
            global_signal: None,
            high_pass: true,
            compcor: None,
            scrub: None,
            columns: Vec::new(),
            demean: true,
        };
        match self {
            Self::Simple => simple,
            Self::Scrubbing => ConfoundConfig {
                wm_csf: Some(Expansion::Full),
                scrub: Some(MotionScrub { min_segment: 5, fd_mm: 0.5, std_dvars: Some(1.5) }),
                ..simple
            },
            Self::CompCor => ConfoundConfig {
                wm_csf: None,
                compcor: Some((CompCor::AnatCombined, NCompCor::All)),
                ..simple
            },
        }
    }
}

/// What is regressed out, and which frames stay.
#[derive(Clone, Debug, PartialEq)]
pub struct Confounds {
    /// Names of the columns, ascending.
    pub names: Vec<String>,
    /// `(n_frames, n_confounds)`.
    pub values: Array2<f64>,
    /// Frames that stay, ascending; none where all do.
    pub kept: Option<Vec<usize>>,
}

impl ConfoundTable {
    /// Chooses columns and frames.
    pub fn select(&self, config: &ConfoundConfig) -> Result<Confounds> {
        let names: Vec<String> = self.names_of(config)?.into_iter().collect();
        let mut values = Array2::zeros((self.n_frames(), names.len()));
        for (name, mut column) in names.iter().zip(values.columns_mut()) {
            let series = self.needed(name)?;
            column.iter_mut().zip(series).for_each(|(to, &x)| *to = x);
            // Changes from frame to frame are not known of the first frame.
            if self.n_frames() > 1 && column[0].is_nan() {
                column[0] = column[1];
            }
            if let Some(row) = column.iter().position(|x| !x.is_finite()) {
                let problem = format!("column {name} has no value");
                return Err(Error::Row { path: self.path().to_path_buf(), row: row + 2, problem });
            }
        }
        let kept = self.kept(config)?;
        if config.demean {
            let counted = match &kept {
                Some(kept) => values.select(Axis(0), kept),
                None => values.clone(),
            };
            if let Some(means) = counted.mean_axis(Axis(0)) {
                values -= &means;
            }
        }
        Ok(Confounds { names, values, kept })
    }

    fn names_of(&self, config: &ConfoundConfig) -> Result<BTreeSet<String>> {
        let mut names = BTreeSet::new();
        let parts: [(&[&str], _); 3] = [
            (&MOTION, config.motion),
            (&["csf", "white_matter"], config.wm_csf),
            (&["global_signal"], config.global_signal),
        ];
        for (columns, expansion) in parts {
            let suffixes: &[&str] = match expansion {
                None => &[],
                Some(Expansion::Basic) => &[""],
                Some(Expansion::Derivatives) => &["", "_derivative1"],
                Some(Expansion::Power2) => &["", "_power2"],
                Some(Expansion::Full) => &["", "_derivative1", "_power2", "_derivative1_power2"],
            };
            let all = columns.iter().flat_map(|c| suffixes.iter().map(move |s| format!("{c}{s}")));
            names.extend(all);
        }
        if config.high_pass {
            names.extend(self.names().iter().filter(|name| name.contains("cosine")).cloned());
        }
        if let Some((kind, n)) = config.compcor {
            names.extend(self.components(kind, n)?);
        }
        for wanted in &config.columns {
            match wanted.strip_suffix('*') {
                None => _ = names.insert(wanted.clone()),
                Some(start) => {
                    let found = self.names().iter().filter(|name| name.starts_with(start));
                    names.extend(found.cloned());
                }
            }
        }
        Ok(names)
    }

    /// Components by prefix and tissue; the sidecar knows the tissue.
    fn components(&self, kind: CompCor, n: NCompCor) -> Result<Vec<String>> {
        let sidecar =
            self.sidecar().ok_or_else(|| Error::NoSidecar { path: self.path().to_path_buf() })?;
        let limit = match n {
            NCompCor::All => usize::MAX,
            NCompCor::First(n) => n,
        };
        let of = |prefix: &str, tissue: Option<&str>| -> Vec<String> {
            let is_one = |(name, component): &(&String, &super::table::Component)| {
                let fits = tissue.is_none_or(|tissue| component.mask.as_deref() == Some(tissue));
                name.starts_with(&format!("{prefix}_comp_cor_")) && fits
            };
            let mut names: Vec<String> =
                sidecar.iter().filter(is_one).map(|(name, _)| name.clone()).collect();
            // Numbers have two digits until they need three.
            names.sort_by_key(String::len);
            names.truncate(limit);
            names
        };
        let together = || of("a", Some("combined"));
        // Newer tables name components of white matter and fluid by prefix, not by tissue alone.
        let apart = || {
            let by_tissue = ["WM", "CSF"].into_iter().flat_map(|tissue| of("a", Some(tissue)));
            by_tissue.chain(of("w", None)).chain(of("c", None)).collect()
        };
        let names: Vec<String> = match kind {
            CompCor::AnatCombined => together(),
            CompCor::AnatSeparated => apart(),
            CompCor::Temporal => of("t", None),
            CompCor::TemporalAnatCombined => [of("t", None), together()].concat(),
            CompCor::TemporalAnatSeparated => [of("t", None), apart()].concat(),
        };
        if names.is_empty() {
            let column = "*_comp_cor_*".to_owned();
            return Err(Error::MissingConfound { path: self.path().to_path_buf(), column });
        }
        Ok(names)
    }

    fn kept(&self, config: &ConfoundConfig) -> Result<Option<Vec<usize>>> {
        let n_frames = self.n_frames();
        let mut left_out = vec![false; n_frames];
        for name in self.names().iter().filter(|name| name.contains("non_steady_state")) {
            for (out, &x) in left_out.iter_mut().zip(self.needed(name)?) {
                *out |= x != 0.0;
            }
        }
        if let Some(scrub) = config.scrub {
            let moved = self.needed_displacement()?;
            let changed = scrub.std_dvars.map(|limit| Ok((self.needed("std_dvars")?, limit)));
            let changed = changed.transpose()?;
            let is_spoiled = |&t: &usize| {
                moved[t] > scrub.fd_mm || changed.is_some_and(|(changed, limit)| changed[t] > limit)
            };
            let spoiled = (0..n_frames).filter(is_spoiled).collect();
            for frame in with_short_segments(spoiled, n_frames, scrub.min_segment) {
                left_out[frame] = true;
            }
        }
        if !left_out.contains(&true) {
            return Ok(None);
        }
        let kept: Vec<usize> = (0..n_frames).filter(|&t| !left_out[t]).collect();
        if kept.is_empty() {
            return Err(Error::NothingKept { path: self.path().to_path_buf() });
        }
        Ok(Some(kept))
    }
}

/// Spoiled frames, and those of segments between them that are shorter than `min_segment`.
fn with_short_segments(spoiled: Vec<usize>, n_frames: usize, min_segment: usize) -> Vec<usize> {
    if spoiled.is_empty() {
        return spoiled;
    }
    let mut all = Vec::new();
    let mut start = 0;
    for end in spoiled.into_iter().chain([n_frames]) {
        if end - start < min_segment {
            all.extend(start..end);
        }
        if end < n_frames {
            all.push(end);
        }
        start = end + 1;
    }
    all
}
