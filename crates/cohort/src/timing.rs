//! When the frames of a scan were taken: one rule for cohorts, pairs and single scans.
//!
//! ```text
//! `t_r` of the pipeline ─┐
//! column of a table      ├─ the first that is there; it must agree with the scan's header
//! sidecar                ┘
//! header                 ─── where none of them is there
//! ```

use std::path::Path;

use files::FileIndex;
use scan::FailureKind;
use serde::{Deserialize, Serialize};

use crate::{
    censored::{self, Kept},
    reason::{Part, Reason},
    recording::{RepetitionTime, TrSource},
    sidecar::{Said, Sidecars},
};

/// Faster and slower scans than these are not known; a value outside is a wrong unit.
pub(crate) const PLAUSIBLE_S: std::ops::RangeInclusive<f64> = 0.05..=30.0;

/// Two that say the same repetition time agree up to this share of it.
const SAME_T_R: f64 = 1e-3;

/// When the frames of one scan were taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Timing {
    /// Seconds between two frames.
    pub t_r: RepetitionTime,
    /// Seconds from the start of the scan to the time that the first frame stands for: `StartTime` of the
    /// sidecar, which a correction of slice timing moves to the middle of a volume.
    pub start_s: f64,
    /// Number of frames, where the header says it.
    pub n_frames: Option<usize>,
    /// Where they stood in the run, of a scan from which frames were left out.
    pub kept: Option<Kept>,
}

/// Reads the timing of scans that no cohort lists; each sidecar is read once.
pub struct Timings<'a> {
    sidecars: Sidecars<'a>,
    known: &'a FileIndex,
}

impl<'a> Timings<'a> {
    /// Files that `known` has seen are not opened.
    pub fn new(known: &'a FileIndex) -> Self {
        Self { sidecars: Sidecars::new(known), known }
    }

    /// The timing of a scan; `asked` is the repetition time in seconds that the user gives, whatever files
    /// say.
    pub fn of(&mut self, scan: &Path, asked: Option<f64>) -> Result<Timing, Reason> {
        let said = match self.sidecars.of_scan(scan, None) {
            // the user settles it
            Err(Reason::RepetitionTime { .. }) if asked.is_some() => Said::default(),
            said => said?,
        };
        let header = Header::known(scan, self.known)?;
        let given = said.t_r.map(|seconds| RepetitionTime { seconds, source: TrSource::Sidecar });
        let t_r = repetition_time(given, header.t_r, asked)?;
        let kept = censored::placed(scan, header.n_frames, self.known)?;
        let start_s = said.start_s.unwrap_or(0.0);
        Ok(Timing { t_r, start_s, n_frames: header.n_frames, kept })
    }
}

/// What a scan's header says.
#[derive(Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) n_frames: Option<usize>,
    /// Seconds, or why they are not said.
    pub(crate) t_r: Result<f64, String>,
}

impl Header {
    /// Reads it unless the scan was seen before.
    pub(crate) fn known(path: &Path, known: &FileIndex) -> Result<Self, Reason> {
        known.fact(path, &scan::files_of_scan(path), "header", || Self::read(path))
    }

    /// Reads it; what is wrong is a sentence without the path.
    fn read(path: &Path) -> Result<Self, Reason> {
        let without_path = |text: String| text.replace(&format!("{}: ", path.display()), "");
        let unreadable =
            |problem: String, kind| Reason::Unreadable { part: Part::Scan, problem, kind };
        let header = scan::probe_header(path)
            .map_err(|error| unreadable(without_path(error.to_string()), error.kind()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let is_called_image = [".nii", ".nii.gz"].iter().any(|ending| name.ends_with(ending));
        if is_called_image && header.n_frames.is_none() {
            let problem = "it is called an image and holds none".to_owned();
            return Err(unreadable(problem, FailureKind::Unreadable));
        }
        let n_frames = match header.n_frames {
            Some(n_frames) => Some(n_frames),
            None => censored::rows_of_table(path)
                .map_err(|error| unreadable(error.to_string(), FailureKind::Unreadable))?,
        };
        Ok(Self { n_frames, t_r: header.t_r })
    }
}

/// The repetition time from what tables and sidecars say, the header, and the user.
pub(crate) fn repetition_time(
    said: Option<RepetitionTime>,
    header: Result<f64, String>,
    asked: Option<f64>,
) -> Result<RepetitionTime, Reason> {
    if let Some(seconds) = asked {
        return Ok(RepetitionTime { seconds, source: TrSource::Pipeline });
    }
    let refuse = |problem: String| Err(Reason::RepetitionTime { problem });
    match (said, header) {
        (Some(RepetitionTime { seconds, source }), _) if !PLAUSIBLE_S.contains(&seconds) => {
            refuse(format!("{} {seconds} s, expected 0.05 to 30 s", says(source)))
        }
        (Some(said), Ok(header)) if (said.seconds - header).abs() > SAME_T_R * header => {
            // headers hold 32 bits
            let (says, seconds, header) = (says(said.source), said.seconds, header as f32);
            refuse(format!("{says} {seconds} s, the scan's header {header} s"))
        }
        (Some(said), _) => Ok(said),
        (None, Ok(seconds)) => Ok(RepetitionTime { seconds, source: TrSource::Header }),
        (None, Err(problem)) => refuse(problem),
    }
}

fn says(source: TrSource) -> &'static str {
    match source {
        TrSource::Pipeline => "the pipeline gives",
        TrSource::Manifest => "the table gives",
        TrSource::Sidecar => "the sidecar gives",
        TrSource::Header => "the header gives",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{write, write_scan};

    #[test]
    fn a_single_scan_inherits_sidecars_as_one_of_a_dataset() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        let scan = at("data/sub-01/ses-1/func/sub-01_ses-1_task-rest_bold.nii");
        write_scan(&scan, 5, 2.0);
        write(&at("bold.json"), "{\"RepetitionTime\": 9}");
        let of = |asked| Timings::new(&FileIndex::unkept()).of(&scan, asked);
        let header = RepetitionTime { seconds: 2.0, source: TrSource::Header };
        assert_eq!(
            of(None),
            Ok(Timing { t_r: header, start_s: 0.0, n_frames: Some(5), kept: None })
        );
        write(&at("data/task-rest_bold.json"), "{\"RepetitionTime\": 2, \"StartTime\": 1}");
        let sidecar = RepetitionTime { seconds: 2.0, source: TrSource::Sidecar };
        assert_eq!(
            of(None),
            Ok(Timing { t_r: sidecar, start_s: 1.0, n_frames: Some(5), kept: None })
        );
        write(&at("data/sub-01/sub-01_bold.json"), "{\"RepetitionTime\": 0.8}");
        let problem = "the sidecar gives 0.8 s, the scan's header 2 s".to_owned();
        assert_eq!(of(None), Err(Reason::RepetitionTime { problem }));
        assert_eq!(of(Some(2.0)).unwrap().t_r.source, TrSource::Pipeline);
        // the file of the same name goes first
        write(&scan.with_extension("json"), "\u{feff}{\"RepetitionTime\": 2, \"EchoTime\": NaN}");
        assert_eq!(of(None).unwrap().t_r, sidecar);
    }

    #[test]
    fn a_scan_of_any_name_has_the_sidecar_of_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let scan = dir.path().join("patient.v2.nii");
        write_scan(&scan, 5, 2.0);
        write(&dir.path().join("patient.v2.json"), "{\"RepetitionTime\": 3}");
        let found = Timings::new(&FileIndex::unkept()).of(&scan, None).unwrap_err().to_string();
        assert!(found.contains("the sidecar gives 3 s, the scan's header 2 s"), "{found}");
    }
}
