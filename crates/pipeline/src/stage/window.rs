//! `window`: cut the table's windows out of the cleaned series.
use std::{path::Path, sync::Arc};

use ndarray::{Array2, ArrayView2};
use scan::WindowConfig;
use serde_json::{Value, json};

use super::{
    Artifact,
    settings::{FINITE, MOST_FRAMES, Settings},
    work::{Preparation, Work, each_scan, load_failures},
};
use crate::{Result, arrays, event::Control, media::Media, plan::RowPlan};

impl Work for WindowConfig {
    fn name(&self) -> &'static str {
        "window"
    }

    fn version(&self) -> u32 {
        1
    }

    fn signature(&self) -> (Artifact, Artifact) {
        (Artifact::Series, Artifact::Windows)
    }

    fn check(&self) -> Result<()> {
        let settings = Settings(self.name());
        settings.at_most(&[("n_frames", self.n_frames, MOST_FRAMES)])?;
        settings.numbers(FINITE, &[("shift_s", self.shift_s)])
    }

    fn preparation(&self) -> Option<&dyn Preparation> {
        Some(self)
    }
}

impl Preparation for WindowConfig {
    fn inputs(&self, state: &Media<'_>) -> Value {
        let rows = state.cohort().rows.iter();
        json!(rows.map(|row| (row.scan_idx, onset_s(state, row))).collect::<Vec<_>>())
    }

    fn compute(&self, state: &Media<'_>, dir: &Path, control: &mut Control<'_>) -> Result<()> {
        let rows = &state.cohort().rows;
        let of_scans = each_scan(state, self.name(), dir, control, |scan_idx| {
            let series = state.series[scan_idx].as_ref().expect("failed scans are passed over");
            let of_scan = rows.iter().enumerate().filter(|(_, row)| row.scan_idx == scan_idx);
            of_scan
                .map(|(idx, row)| Ok((idx, self.cut(series, onset_s(state, row))?.values)))
                .collect::<Result<Vec<_>>>()
        })?;
        let windows = of_scans.iter().flatten().flatten();
        write_windows(dir, windows.map(|(row, window)| (*row, window.view())))
    }

    fn load(&self, state: &mut Media<'_>, dir: &Path) -> Result<()> {
        load_failures(state, self.name(), dir)?;
        state.cleaned = read_windows(dir, state)?;
        state.windows.clone_from(&state.cleaned);
        Ok(())
    }
}

/// Seconds from the time of the scan's first frame to the event.
fn onset_s(state: &Media<'_>, row: &RowPlan) -> f64 {
    state.cohort().scans[row.scan_idx].since_first_frame(row.onset_s)
}

const WINDOWS: &str = "windows.safetensors";

pub(super) fn write_windows<'a>(
    dir: &Path,
    windows: impl Iterator<Item = (usize, ArrayView2<'a, f32>)>,
) -> Result<()> {
    let named = windows.map(|(row, window)| (format!("row-{row}"), window));
    arrays::write(&dir.join(WINDOWS), named)
}

pub(super) fn read_windows(dir: &Path, state: &Media<'_>) -> Result<Vec<Option<Arc<Array2<f32>>>>> {
    let mut arrays = arrays::read(&dir.join(WINDOWS))?;
    let n_rows = state.cohort().rows.len();
    Ok((0..n_rows).map(|row| arrays.remove(&format!("row-{row}")).map(Arc::new)).collect())
}
