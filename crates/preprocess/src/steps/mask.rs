//! `mask`: scans to the series of the voxels that are bright enough in the training scans.
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use flamingo::PackageFile;
use ndarray::Axis;
use scan::{Bold, ImageQualityMetrics, OpenOptions, ReadOptions, VoxelMask, VoxelMaskConfig};
use serde_json::{Value, json};

use super::said;
use crate::{
    AboutSeries, Data, Error, Fitted, Given, Inputs, Kind, Made, Need, Planned, Recording, Result,
    SeriesFacts, Step, StepId, StoredSeries, Training,
    settings::{NOT_NEGATIVE, Rule, Settings},
    step::Packing,
};

/// No voxel is a hundred times as bright as the mean of all.
const ABOVE_MEAN: Rule = ("0 to 100", |x| (0.0..=100.0).contains(&x));

/// Where the mask lies in the result of a stage, and in a package.
const MASK: &str = "voxel_mask.json";

impl Step for VoxelMaskConfig {
    fn id(&self) -> StepId {
        StepId { name: "mask", version: 2 }
    }

    fn said(&self) -> String {
        said(self)
    }

    fn takes(&self) -> Kind {
        Kind::Scans
    }

    fn accepts(&self, given: Kind) -> Option<Kind> {
        (given == Kind::Scans).then_some(Kind::Series)
    }

    fn check(&self) -> Result<()> {
        let settings = Settings(self.id().name);
        settings.numbers(NOT_NEGATIVE, &[("above_mean", self.above_mean)])?;
        settings.numbers(ABOVE_MEAN, &[("above_mean", self.above_mean)])
    }

    fn makes(&self, made: &mut Made, planned: Option<Planned<'_>>) -> Result<()> {
        made.has_mask = true;
        // how many voxels it leaves shows when scans are read; the grid bounds it
        let grid = planned.and_then(|it| {
            it.recordings.iter().find_map(|scan| it.inputs.shape(&scan.path, &options(scan)).ok())
        });
        if let Some(scan::Shape::Run { grid, .. }) = grid {
            made.series = Some(encoder::InputSpace::Voxels { n: grid.iter().product() });
        }
        Ok(())
    }

    fn needs(&self, _reads_volumes: bool) -> Vec<Need> {
        // what the quality of a scan is measured on
        vec![Need { in_file: true, ..Need::of(None, 3) }]
    }

    fn learns(&self) -> bool {
        true
    }

    fn wants_one_grid(&self) -> bool {
        true
    }

    fn decides(&self, recording: &Recording, inputs: &dyn Inputs) -> Result<Option<Value>> {
        let StepId { name, version } = self.id();
        Ok(Some(json!({
            "stage": name,
            "version": version,
            "scan": inputs.digest_of(recording)?,
            "t_r_s": recording.timing(),
            "confounds": inputs.digest_if(recording.confounds.as_deref())?,
        })))
    }

    fn is_by_recording(&self) -> bool {
        false
    }

    fn learns_from(&self, training: &Training<'_>) -> Option<Value> {
        Some(json!(training.trained_on))
    }

    fn pack(&mut self, kept: &Packing<'_>) -> Result<Vec<PackageFile>> {
        let mask = kept.about.and_then(|it| it.mask.as_ref()).expect("it was fitted");
        let bytes = serde_json::to_vec(mask).expect("a mask is plain numbers");
        Ok(vec![PackageFile { name: MASK.to_owned(), bytes, licence: None }])
    }

    fn parts(&self) -> Vec<PathBuf> {
        vec![MASK.into()]
    }

    fn in_methods(&self) -> Option<String> {
        let said = "The series of the voxels were extracted that are bright enough in the mean of the training \
                    scans.";
        Some(said.to_owned())
    }

    /// A training scan that cannot be read teaches nothing, and fails when it is its turn.
    fn fit(&self, training: &Training<'_>) -> Result<Box<dyn Fitted>> {
        if let Some(path) = training.inputs.fitted(MASK) {
            return Ok(Box::new(Masking::new(files::read_json(&path)?, BTreeSet::new())));
        }
        // one mean image a training scan is kept, not the scan
        let (mut means, mut refused, mut first) = (Vec::new(), BTreeSet::new(), None);
        for &(idx, scan) in &training.recordings {
            (training.stop)()?;
            match mean_of(scan) {
                Ok(mean) => means.push(mean),
                Err(source) => {
                    refused.insert(scan.name.clone());
                    first.get_or_insert(Error::NoneLearnedFrom {
                        first: idx,
                        source: Box::new(source),
                    });
                }
            }
        }
        if means.is_empty() {
            return Err(first.unwrap_or_else(|| training.nothing_left()));
        }
        let mask = VoxelMask::fit(&means.iter().collect::<Vec<_>>(), self)?;
        Ok(Box::new(Masking::new(mask, refused)))
    }

    fn after(
        &self,
        _before: Option<AboutSeries>,
        kept: &dyn Fn(&str) -> PathBuf,
    ) -> Result<AboutSeries> {
        let path = kept(MASK);
        Ok(AboutSeries {
            parcels: Vec::new(),
            mask: Some(files::read_json(&path)?),
            atlas: Value::Null,
            preparation: vec![format!("{} {}", self.said(), scan::sha256_file(&path)?)],
            left_right: None,
            normalisation: None,
        })
    }
}

/// A mask that was fitted.
struct Masking {
    mask: VoxelMask,
    digest: String,
    /// Training scans that were not learned from, by name.
    refused: BTreeSet<String>,
}

impl Masking {
    fn new(mask: VoxelMask, refused: BTreeSet<String>) -> Self {
        Self { digest: files::sha256_bytes(files::to_json(&mask).as_bytes()), mask, refused }
    }
}

impl Fitted for Masking {
    fn footprint(&self, recording: &Recording, _given: Option<Given<'_>>) -> u64 {
        let Ok(read) = scan::footprint(&recording.path, &options(recording)) else { return 0 };
        // the run in 32 bits; its voxels in 32 and in 64 bits, as bytes, and as a file
        let n_frames = read.n_frames().unwrap_or(0);
        let kept =
            n_frames.saturating_mul(self.mask.n_voxels() as u64).saturating_mul(4 + 8 + 4 + 4);
        read.n_bytes.saturating_add(read.n_values.saturating_mul(4)).saturating_add(kept)
    }

    fn apply(&self, recording: &Recording, _given: Data) -> Result<Data> {
        if self.refused.contains(&recording.name) {
            mean_of(recording)?;
        }
        let series = self.mask.apply(&read(recording)?)?;
        let fd_mm = recording.displacement(series.n_frames())?;
        let facts = SeriesFacts {
            t_r_s: series.t_r,
            n_frames: series.n_frames(),
            lost: Vec::new(),
            coverage: None,
            dropped: None,
            quality: ImageQualityMetrics::measure(&series)?,
            fd_mean_mm: fd_mm.as_ref().and_then(|it| scan::mean_displacement(&it.to_vec())),
            fd_max_mm: fd_mm.as_ref().and_then(|it| scan::largest_displacement(&it.to_vec())),
            n_nonfinite_frames: 0,
            kept: recording.kept.as_ref().map(|kept| kept.frames.clone()),
            of_voxels: true,
        };
        let values = series.values.mapv(f64::from);
        Ok(StoredSeries { values, fd_mm, slices: Vec::new(), facts }.into())
    }

    fn decides(&self) -> Option<Value> {
        Some(json!(self.digest))
    }

    fn keep(&self, dir: &Path) -> Result<()> {
        Ok(files::write_json(&dir.join(MASK), &self.mask)?)
    }
}

fn options(scan: &Recording) -> OpenOptions {
    OpenOptions { t_r: scan.t_r_s, ..OpenOptions::default() }
}

/// The run, with the repetition time that the plan has of it.
fn read(scan: &Recording) -> Result<Bold> {
    Ok(scan::read_bold_with(&scan.path, &ReadOptions { t_r: scan.t_r_s })?)
}

/// The scan's mean image as a run of one frame.
fn mean_of(scan: &Recording) -> Result<Bold> {
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
