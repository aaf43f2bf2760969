//! What rows of a table name of their scans, against what the model is shown of them.
//!
//! Behind `sliding_windows` and `encode` every row of a scan gets the tokens of the whole scan. A row that names
//! a part of it would be learned from, and reported on, as something that nobody looked at.
use scan::WindowsConfig;

use super::{CohortPlan, RowPlan, frames::Frames};
use crate::{Error, Result, spec::Spec, stage::Stage};

/// What would do instead.
const CURE: &str =
    "give the whole scan, or cut windows at their onsets with the stage event_windows";

/// Refuses rows of parts of scans where the model sees scans as a whole.
pub(super) fn name_what_is_seen(
    spec: &Spec,
    cohort: &CohortPlan,
    frames: &Frames<'_>,
) -> Result<()> {
    let learns = spec.stages().iter().any(|stage| matches!(stage, Stage::Finetune(_)));
    let windows = spec.steps().find_map(|step| step.cut()?.sliding().cloned());
    let (Some(windows), true) = (windows, learns) else { return Ok(()) };
    of_whole_scans(cohort, Some(&windows), frames)
}

/// The same where the model is known to see scans as a whole, or these windows of them.
pub(super) fn of_whole_scans(
    cohort: &CohortPlan,
    windows: Option<&WindowsConfig>,
    frames: &Frames<'_>,
) -> Result<()> {
    let mut first: Vec<Option<&RowPlan>> = vec![None; cohort.scans.len()];
    let mut problems = Vec::new();
    for row in &cohort.rows {
        let idx = row.scan_idx;
        let earlier = *first[idx].get_or_insert(row);
        let length = Length::of(idx, windows, frames, cohort.scans[idx].start_s);
        let problem = differs(earlier, row).or_else(|| length.problem(row));
        if let Some(problem) = problem {
            let (path, row) = (cohort.table.clone(), row.row);
            problems.push(Error::RowProblem { path, row, problem });
        }
    }
    Error::collect(problems)
}

/// Why two rows of one scan cannot be told apart.
fn differs(earlier: &RowPlan, row: &RowPlan) -> Option<String> {
    let named = |row: &RowPlan| [row.onset_s, row.duration_s];
    (named(earlier) != named(row)).then(|| {
        format!(
            "names {} of the scan of which row {} names {}, but the model sees both as the same whole \
             scan: {CURE}",
            stretch(named(row)),
            earlier.row,
            stretch(named(earlier)),
        )
    })
}

/// What is known of how long a scan is, in seconds.
struct Length {
    /// The time that its first frame stands for.
    start_s: f64,
    whole_s: Option<f64>,
    /// Start and end of what its windows hold, from the first frame on.
    seen_s: Option<[f64; 2]>,
    /// Stretches this near to each other are the same: a frame.
    near_s: f64,
}

impl Length {
    fn of(idx: usize, windows: Option<&WindowsConfig>, frames: &Frames<'_>, start_s: f64) -> Self {
        let near_s = frames.t_r_s(idx).unwrap_or(0.0);
        let kept = frames.kept(idx);
        let whole_s = kept.map(|kept| kept.of).or_else(|| frames.in_file(idx));
        let whole_s = whole_s.map(|n| n as f64 * near_s);
        let seen_s = frames.of_series(idx).and_then(|(n, t_r_s)| {
            let windows = windows?;
            let starts = windows.first_frames(n).ok()?;
            let (first, last) = (*starts.iter().min()?, starts.iter().max()? + windows.n_frames);
            let Some(kept) = kept else { return Some([first as f64 * t_r_s, last as f64 * t_r_s]) };
            // joined over the frames that are not there; made anew where the rate is another
            let in_run = |frame: usize| kept.frames.get(frame).map(|at| *at as f64 * near_s);
            Some([in_run(first)?, in_run(last.checked_sub(1)?)? + near_s])
        });
        Self { start_s, whole_s, seen_s, near_s }
    }

    /// Why a row names neither the whole scan nor what is seen of it.
    fn problem(&self, row: &RowPlan) -> Option<String> {
        let start = row.onset_s - self.start_s;
        let end = start + row.duration_s;
        let near = |[a, b]: [f64; 2]| {
            (start - a).abs() <= self.near_s * 1.001 && (end - b).abs() <= self.near_s * 1.001
        };
        let fits = match (self.whole_s, self.seen_s) {
            // how long the scan is shows when it is read
            (None, _) => start.abs() <= self.near_s && row.duration_s > 0.0,
            (Some(whole_s), seen_s) => near([0.0, whole_s]) || seen_s.is_some_and(near),
        };
        (!fits).then(|| {
            let whole = self.whole_s.map_or_else(
                || format!("which begins at {} s", scan::seconds(self.start_s)),
                |whole_s| stretch([self.start_s, whole_s]),
            );
            format!(
                "names {} of its scan, but the model sees the scan as a whole, {whole}: {CURE}",
                stretch([row.onset_s, row.duration_s])
            )
        })
    }
}

/// `0 s to 29.4 s`, of an onset and a duration.
fn stretch([onset_s, duration_s]: [f64; 2]) -> String {
    format!("{} s to {} s", scan::seconds(onset_s), scan::seconds(onset_s + duration_s))
}

#[cfg(test)]
mod tests {
    use scan::Split;

    use super::*;

    fn row(number: usize, onset_s: f64, duration_s: f64) -> RowPlan {
        let (report, split) = (String::new(), Split::Train);
        let (truth, truths, sex, age) = (None, Vec::new(), None, None);
        let (row, scan_idx, window) = (number, 0, 1);
        RowPlan {
            row,
            scan_idx,
            window,
            onset_s,
            duration_s,
            report,
            truths,
            truth,
            labels: report::prompt::Labels::new(),
            asked: report::prompt::Labels::new(),
            sex,
            age,
            split,
        }
    }

    #[test]
    fn a_row_names_its_whole_scan_or_what_its_windows_hold() {
        // 40 frames of 0.735 s, of which a window of 16 in the middle is seen
        let seen_s = Some([12.0 * 0.735, 28.0 * 0.735]);
        let known = Length { start_s: 0.0, whole_s: Some(29.4), seen_s, near_s: 0.735 };
        for (onset_s, duration_s) in [(0.0, 29.4), (0.0, 30.0), (8.82, 11.76)] {
            assert_eq!(known.problem(&row(2, onset_s, duration_s)), None, "{onset_s}");
        }
        let said = known.problem(&row(2, 46.5, 12.5)).unwrap();
        let expected = "names 46.5 s to 59 s of its scan, but the model sees the scan as a whole, 0 s \
                        to 29.4 s: give the whole scan";
        assert!(said.starts_with(expected), "{said}");
        for (onset_s, duration_s) in [(0.0, 12.0), (836.0, 12.5), (0.0, f64::NAN), (1.5, 27.9)] {
            assert!(known.problem(&row(2, onset_s, duration_s)).is_some(), "{onset_s}");
        }
        let unknown = Length { start_s: 0.0, whole_s: None, seen_s: None, near_s: 0.735 };
        assert_eq!(unknown.problem(&row(2, 0.0, 12.0)), None);
        assert!(unknown.problem(&row(2, 46.5, 12.5)).is_some());
    }

    #[test]
    fn seconds_are_counted_from_where_the_sidecar_says() {
        // the first frame stands at 10 s, as where the frames before it were left out
        let seen_s = Some([12.0 * 0.735, 28.0 * 0.735]);
        let late = Length { start_s: 10.0, whole_s: Some(29.4), seen_s, near_s: 0.735 };
        for (onset_s, duration_s) in [(10.0, 29.4), (18.82, 11.76), (9.6325, 29.4)] {
            assert_eq!(late.problem(&row(2, onset_s, duration_s)), None, "{onset_s}");
        }
        let said = late.problem(&row(2, 0.0, 29.4)).unwrap();
        let expected = "names 0 s to 29.4 s of its scan, but the model sees the scan as a whole, 10 s \
                        to 39.4 s";
        assert!(said.starts_with(expected), "{said}");
        let unknown = Length { start_s: 10.0, whole_s: None, seen_s: None, near_s: 0.735 };
        assert_eq!(unknown.problem(&row(2, 10.0, 12.0)), None);
        assert!(unknown.problem(&row(2, 0.0, 12.0)).unwrap().contains("which begins at 10 s"));
    }

    #[test]
    fn rows_of_one_scan_name_the_same() {
        assert_eq!(differs(&row(2, 0.0, 29.4), &row(3, 0.0, 29.4)), None);
        let said = differs(&row(2, 0.0, 29.4), &row(3, 12.0, 5.0)).unwrap();
        assert!(
            said.starts_with("names 12 s to 17 s of the scan of which row 2 names 0 s to 29.4 s")
        );
    }
}
