//! `mask`: scans to the series of the voxels that are bright enough in the training scans.
use std::path::Path;

use ndarray::Axis;
use preprocess::{Kind, Need};
use scan::{
    Bold, ImageQualityMetrics, ReadOptions, Split, VoxelMask, VoxelMaskConfig, VoxelSeries,
};
use serde_json::{Value, json};

use super::{
    Artifact,
    settings::{NOT_NEGATIVE, Rule, Settings},
    work::{Preparation, Work, each_scan, load_failures},
};
use crate::{Error, Result, arrays, event::Control, media::Media, plan::ScanPlan, reasons};

/// No voxel is a hundred times as bright as the mean of all.
const ABOVE_MEAN: Rule = ("0 to 100", |x| (0.0..=100.0).contains(&x));

impl Work for VoxelMaskConfig {
    fn name(&self) -> &'static str {
        "mask"
    }

    fn version(&self) -> u32 {
        1
    }

    fn signature(&self) -> (Artifact, Artifact) {
        (Artifact::Media(Kind::Scans), Artifact::Media(Kind::Series))
    }

    fn check(&self) -> Result<()> {
        let settings = Settings(self.name());
        settings.numbers(NOT_NEGATIVE, &[("above_mean", self.above_mean)])?;
        Ok(settings.numbers(ABOVE_MEAN, &[("above_mean", self.above_mean)])?)
    }

    fn needs(&self) -> Vec<Need> {
        // what the quality of a scan is measured on
        vec![Need { in_file: true, ..Need::of(None, 3) }]
    }

    fn learns(&self) -> bool {
        true
    }

    fn preparation(&self) -> Option<&dyn Preparation> {
        Some(self)
    }
}

impl Preparation for VoxelMaskConfig {
    fn inputs(&self, media: &Media<'_>) -> Value {
        let scans = &media.cohort().scans;
        let digests: Vec<&String> = scans.iter().map(|scan| &scan.sha256).collect();
        let times: Vec<Option<f64>> = scans.iter().map(|scan| scan.t_r_s).collect();
        json!({ "scans": digests, "t_r_s": times, "fit_on": media.trained_on() })
    }

    fn compute(&self, media: &Media<'_>, dir: &Path, control: &mut Control<'_>) -> Result<()> {
        let scans = &media.cohort().scans;
        // one mean image a training scan is kept, not the scan
        let mut means = Vec::new();
        let mut unreadable: Vec<Option<Error>> = scans.iter().map(|_| None).collect();
        for scan_idx in media.trained_on() {
            control.checkpoint()?;
            match mean_of(&scans[scan_idx]) {
                Ok(mean) => means.push(mean),
                Err(error) if error.stops_the_run() => return Err(error),
                Err(error) => unreadable[scan_idx] = Some(error),
            }
        }
        if means.is_empty() {
            let failed = unreadable.iter().zip(media.scans());
            let first = failed.filter_map(|(error, scan)| Some(reasons::of(error.as_ref()?, scan)));
            let reason = first.map(|reason| reason.anonymous).next().unwrap_or_default();
            return Err(Error::NothingLeft { split: Split::Train, reason });
        }
        let mask = VoxelMask::fit(&means.iter().collect::<Vec<_>>(), self)?;
        files::write_json(&dir.join("mask.json"), &mask)?;

        let read = each_scan(media, self.name(), dir, control, |scan_idx| {
            if let Some(error) = unreadable[scan_idx].take() {
                return Err(error);
            }
            let series = mask.apply(&read(&scans[scan_idx])?)?;
            let quality = ImageQualityMetrics::measure(&series)?;
            Ok((series, quality))
        })?;
        let quality: Vec<_> =
            read.iter().map(|it| it.as_ref().map(|(_, quality)| quality)).collect();
        files::write_json(&dir.join("quality.json"), &quality)?;
        write_series(dir, read.iter().map(|it| it.as_ref().map(|(series, _)| series)))
    }

    fn load(&self, media: &mut Media<'_>, dir: &Path) -> Result<()> {
        load_failures(media, self.name(), dir)?;
        media.mask = Some(files::read_json(&dir.join("mask.json"))?);
        media.quality = files::read_json(&dir.join("quality.json"))?;
        media.series = read_series(dir, media)?;
        Ok(())
    }
}

/// The scan's mean image as a run of one frame.
fn mean_of(scan: &ScanPlan) -> Result<Bold> {
    let bold = read(scan)?;
    let (affine, t_r) = (bold.affine().clone(), bold.t_r());
    let mean = bold.frame_mean().into_data();
    let found = mean.iter().filter(|x| !x.is_finite()).count();
    if found > 0 {
        let scan = scan.path.display().to_string();
        return Err(scan::Error::NonFiniteMean { scan, found }.into());
    }
    Ok(Bold::new(mean.insert_axis(Axis(3)), affine, t_r)?)
}

const SERIES: &str = "series.safetensors";

/// The run, with the repetition time that the plan has of it.
fn read(scan: &ScanPlan) -> Result<scan::Bold> {
    Ok(scan::read_bold_with(&scan.path, &ReadOptions { t_r: scan.t_r_s })?)
}

pub(super) fn write_series<'a>(
    dir: &Path,
    series: impl Iterator<Item = Option<&'a VoxelSeries>>,
) -> Result<()> {
    let there = series.enumerate().filter_map(|(idx, series)| Some((idx, series?)));
    arrays::write(
        &dir.join(SERIES),
        there.map(|(idx, series)| (format!("scan-{idx}"), series.values.view())),
    )
}

pub(super) fn read_series(dir: &Path, media: &Media<'_>) -> Result<Vec<Option<VoxelSeries>>> {
    let mut arrays = arrays::read(&dir.join(SERIES))?;
    let t_r = media.cohort().t_r_s;
    let of_scan = |idx| Some(VoxelSeries { values: arrays.remove(&format!("scan-{idx}"))?, t_r });
    Ok((0..media.cohort().scans.len()).map(of_scan).collect())
}
