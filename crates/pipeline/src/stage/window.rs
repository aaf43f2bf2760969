//! `window`: cut the table's windows out of the cleaned series.
use std::{path::Path, sync::Arc};

use ndarray::{Array2, ArrayView2};
use preprocess::Kind;
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
        (Artifact::Media(Kind::Series), Artifact::Media(Kind::Windows))
    }

    fn check(&self) -> Result<()> {
        let settings = Settings(self.name());
        settings.at_most(&[("n_frames", self.n_frames, MOST_FRAMES)])?;
        Ok(settings.numbers(FINITE, &[("shift_s", self.shift_s)])?)
    }

    fn preparation(&self) -> Option<&dyn Preparation> {
        Some(self)
    }
}

impl Preparation for WindowConfig {
    fn inputs(&self, media: &Media<'_>) -> Value {
        let rows = media.cohort().rows.iter();
        json!(rows.map(|row| (row.scan_idx, onset_s(media, row))).collect::<Vec<_>>())
    }

    fn compute(&self, media: &Media<'_>, dir: &Path, control: &mut Control<'_>) -> Result<()> {
        let rows = &media.cohort().rows;
        let of_scans = each_scan(media, self.name(), dir, control, |scan_idx| {
            let series = media.series[scan_idx].as_ref().expect("failed scans are passed over");
            let of_scan = rows.iter().enumerate().filter(|(_, row)| row.scan_idx == scan_idx);
            of_scan
                .map(|(idx, row)| Ok((idx, self.cut(series, onset_s(media, row))?.values)))
                .collect::<Result<Vec<_>>>()
        })?;
        let windows = of_scans.iter().flatten().flatten();
        write_windows(dir, windows.map(|(row, window)| (*row, window.view())))
    }

    fn load(&self, media: &mut Media<'_>, dir: &Path) -> Result<()> {
        load_failures(media, self.name(), dir)?;
        media.cleaned = read_windows(dir, media)?;
        media.windows.clone_from(&media.cleaned);
        Ok(())
    }
}

/// Seconds from the time of the scan's first frame to the event.
fn onset_s(media: &Media<'_>, row: &RowPlan) -> f64 {
    media.cohort().scans[row.scan_idx].since_first_frame(row.onset_s)
}

const WINDOWS: &str = "windows.safetensors";

pub(super) fn write_windows<'a>(
    dir: &Path,
    windows: impl Iterator<Item = (usize, ArrayView2<'a, f32>)>,
) -> Result<()> {
    let named = windows.map(|(row, window)| (format!("row-{row}"), window));
    arrays::write(&dir.join(WINDOWS), named)
}

pub(super) fn read_windows(dir: &Path, media: &Media<'_>) -> Result<Vec<Option<Arc<Array2<f32>>>>> {
    let mut arrays = arrays::read(&dir.join(WINDOWS))?;
    let n_rows = media.cohort().rows.len();
    Ok((0..n_rows).map(|row| arrays.remove(&format!("row-{row}")).map(Arc::new)).collect())
}
