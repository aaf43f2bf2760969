//! A step that is none of ours goes the whole road by the trait alone.
use std::{
    fs,
    path::{Path, PathBuf},
};

use scan::{PadPolicy, WindowPolicy, WindowsConfig};
use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::{Given, NamedStep, StepId, StepRegistry, steps::ParcellateConfig};

/// Leaves out the first frame and adds the number of a file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Toy {
    number: PathBuf,
}

const PART: &str = "toy.json";

impl Step for Toy {
    fn id(&self) -> StepId {
        StepId { name: "toy", version: 1 }
    }

    fn said(&self) -> String {
        json!({ "number": self.number }).to_string()
    }

    fn makes(&self, made: &mut Made, _planned: Option<Planned<'_>>) -> Result<()> {
        made.normalisation = Some("toy".to_owned());
        Ok(())
    }

    fn timing(&self, given: Timing) -> Timing {
        Timing { n_frames: given.n_frames.map(|n| n - 1), ..given }
    }

    fn paths(&mut self) -> Vec<&mut PathBuf> {
        vec![&mut self.number]
    }

    fn pack(&mut self, kept: &Packing<'_>) -> Result<Vec<PackageFile>> {
        let number = files::read_bytes(&(kept.place)(&self.number))?;
        self.number = PathBuf::new();
        Ok(vec![PackageFile { name: PART.to_owned(), bytes: number, licence: None }])
    }

    fn parts(&self) -> Vec<PathBuf> {
        vec![PART.into()]
    }

    fn fit(&self, training: &Training<'_>) -> Result<Box<dyn Fitted>> {
        let path = training.inputs.fitted(PART);
        let path = path.unwrap_or_else(|| training.inputs.place(&self.number));
        Ok(Box::new(Added(files::read_json(&path)?)))
    }
}

struct Added(f64);

impl Fitted for Added {
    fn footprint(&self, _recording: &Recording, given: Option<Given<'_>>) -> u64 {
        given.map_or(0, |given| given.n_bytes(given.facts.n_frames - 1))
    }

    fn apply(&self, _recording: &Recording, given: Data) -> Result<Data> {
        let mut series = given.into_series();
        series.values = series.values.slice(ndarray::s![1.., ..]).mapv(|x| x + self.0);
        series.facts.n_frames -= 1;
        Ok(series.into())
    }

    fn decides(&self) -> Option<Value> {
        Some(json!(self.0))
    }
}

/// A folder of a cohort, or of a package.
struct Folder {
    dir: PathBuf,
    is_package: bool,
}

impl Inputs for Folder {
    fn place(&self, path: &Path) -> PathBuf {
        self.dir.join(path)
    }

    fn digest(&self, path: &Path) -> Result<String> {
        Ok(scan::sha256_scan(path)?)
    }

    fn fitted(&self, name: &str) -> Option<PathBuf> {
        self.is_package.then(|| self.dir.join(name))
    }
}

fn recording(path: PathBuf) -> Recording {
    Recording {
        subject: "1".to_owned(),
        session: None,
        name: "s".to_owned(),
        unit: "s".to_owned(),
        file: "s.tsv".to_owned(),
        path,
        sha256: None,
        t_r_s: Some(2.0),
        n_frames: Some(5),
        kept: None,
        confounds: None,
        coverage: None,
        stacked: None,
        events_s: Vec::new(),
    }
}

fn steps() -> (ParcellateConfig, Toy, WindowsConfig) {
    let parcellate = json!({ "atlas": { "id": "two", "names": "names.txt" } });
    let windows =
        WindowsConfig { n_frames: 3, policy: WindowPolicy::First, pad: PadPolicy::Refuse };
    (serde_json::from_value(parcellate).unwrap(), Toy { number: "number.json".into() }, windows)
}

#[test]
fn a_recording_goes_the_same_way_in_a_cohort_and_with_a_package() {
    let (cohort, package) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let at = |name: &str| cohort.path().join(name);
    fs::write(at("names.txt"), "First\nSecond\n").unwrap();
    fs::write(at("number.json"), "10").unwrap();
    fs::write(at("s.tsv"), "1\t2\n1\t7\n2\t5\n4\t6\n3\t9\n").unwrap();
    let scan = recording(at("s.tsv"));
    let inputs = Folder { dir: cohort.path().to_owned(), is_package: false };
    let (mut parcellate, mut toy, mut windows) = steps();
    let all: [&dyn Step; 3] = [&parcellate, &toy, &windows];

    // what the plan asks
    let planned = Planned { inputs: &inputs, recordings: std::slice::from_ref(&scan), stack: None };
    let made = Recipe::made(all, Some(planned)).unwrap();
    assert_eq!((made.n_parcels(), made.labels), (Some(2), vec!["First".into(), "Second".into()]));
    assert_eq!(made.normalisation.as_deref(), Some("toy"));
    let timing = Recipe::timing(all, Timing::in_file(&scan));
    assert_eq!(timing.both(), Some((4, 2.0)));

    // a step at a time, as a cohort goes
    let (mut data, mut parcels) = (Data::Scan, Vec::new());
    for step in all {
        let fitted = step.fit(&Training::of_package(&inputs, &parcels)).unwrap();
        data = fitted.apply(&scan, data).unwrap();
        parcels = fitted.parcels().map_or(parcels, <[Parcel]>::to_vec);
    }
    let walked = PreparedScan::of(data, &scan, &Cut::Sliding(windows.clone()), None).unwrap();
    assert_eq!(timing.n_frames, Some(walked.n_frames));

    // the same with what a package keeps, and nothing else
    let kept = Packing {
        about: None,
        volume_left_right: None,
        place: &|path| cohort.path().join(path),
        fitted: &|_| None,
    };
    let steps: [&mut dyn Step; 3] = [&mut parcellate, &mut toy, &mut windows];
    let parts = Recipe::pack(steps, &kept).unwrap();
    let names: Vec<&str> = parts.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(names, ["atlas/names.txt", PART]);
    fs::create_dir(package.path().join("atlas")).unwrap();
    for part in &parts {
        fs::write(package.path().join(&part.name), &part.bytes).unwrap();
    }
    let all: [&dyn Step; 3] = [&parcellate, &toy, &windows];
    let named: Vec<PathBuf> = all.iter().flat_map(|step| step.parts()).collect();
    assert_eq!(named, names.iter().map(PathBuf::from).collect::<Vec<_>>());
    fs::remove_file(at("names.txt")).unwrap();
    fs::remove_file(at("number.json")).unwrap();
    let inputs = Folder { dir: package.path().to_owned(), is_package: true };
    let recipe = Recipe::unpack(&all, &inputs).unwrap().unwrap();
    let prepared = recipe.prepare(&scan, None).unwrap();
    assert_eq!(prepared, walked);
    assert_eq!(prepared.windows, [vec![11.0, 17.0, 12.0, 15.0, 14.0, 16.0]]);
    // one window from an onset on: the frame at 2 s is the second that is left
    let later = recipe.prepare(&scan, Some(2.0)).unwrap();
    assert_eq!(later.windows, [vec![12.0, 15.0, 14.0, 16.0, 13.0, 19.0]]);
}

#[test]
fn steps_that_do_not_follow_each_other_are_told() {
    let (parcellate, toy, windows) = steps();
    let kinds = |steps: &[&dyn Step]| Recipe::kinds(steps.iter().copied(), Kind::Recordings);
    assert_eq!(
        kinds(&[&parcellate, &toy, &windows]).unwrap(),
        [Kind::ParcelSeries, Kind::ParcelSeries, Kind::ScanWindows]
    );
    let (takes, have) = (Kind::ParcelSeries, Kind::Recordings);
    assert_eq!(kinds(&[&toy, &windows]), Err(Mismatch { at: 0, takes, have }));
    let have = Kind::ScanWindows;
    assert_eq!(kinds(&[&parcellate, &windows, &toy]), Err(Mismatch { at: 2, takes, have }));
    let nowhere = Folder { dir: PathBuf::new(), is_package: true };
    assert!(Recipe::unpack(&[&toy, &windows], &nowhere).unwrap().is_none());
}

#[test]
fn windows_are_cut_out_of_voxels_parcels_and_volumes() {
    let (parcellate, _, sliding) = steps();
    let mask = scan::VoxelMaskConfig { above_mean: 0.5 };
    let clean: scan::CleanConfig =
        serde_json::from_value(json!({ "detrend": "linear", "standardize": "none" })).unwrap();
    let events = scan::WindowConfig { shift_s: 4.0, n_frames: 2 };
    let whiten = scan::WhitenConfig { shrinkage: scan::Shrinkage::LedoitWolf };
    let volumes: crate::steps::VolumesConfig = serde_json::from_value(json!({
        "shape": [4, 4, 4], "axes": "RAS", "background": "minimum", "half": false,
    }))
    .unwrap();
    let last = |steps: &[&dyn Step]| {
        Recipe::kinds(steps.iter().copied(), Kind::Scans).map(|kinds| kinds[kinds.len() - 1])
    };
    for before in [vec![&mask as &dyn Step, &clean], vec![&parcellate], vec![&volumes]] {
        let then = |step| last(&[&before[..], &[step]].concat());
        assert_eq!(then(&sliding), Ok(Kind::ScanWindows));
        let of_volumes = before.len() == 1 && before[0].id().name == "volumes";
        let expected = if of_volumes { Kind::VolumeWindows } else { Kind::Windows };
        assert_eq!(then(&events), Ok(expected));
        let whitened = last(&[&before[..], &[&events, &whiten]].concat());
        assert_eq!(whitened.is_ok(), !of_volumes, "volumes are not whitened");
    }
    let mismatch = Mismatch { at: 2, takes: Kind::Windows, have: Kind::ScanWindows };
    assert_eq!(last(&[&mask, &sliding, &whiten]), Err(mismatch));
}

#[test]
fn a_step_is_named_with_settings_or_without() {
    let registry = StepRegistry::default().with::<Toy>("toy");
    let named = |said: Value| {
        let mut named: NamedStep = serde_json::from_value(said).unwrap();
        named.find(&registry);
        named.step().said()
    };
    let set = json!({ "number": "seven.json" });
    assert_eq!(named(json!({ "name": "toy", "with": set })), set.to_string());
    assert_eq!(named(json!({ "name": "toy" })), json!({ "number": "" }).to_string());
}
