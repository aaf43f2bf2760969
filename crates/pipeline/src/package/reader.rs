//! A package ready to be given scans.
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use encoder::{EncoderConfig, FrozenEncoder, InputShape};
use flamingo::{ChatFrame, Medium, Model};
use ndarray::{ArrayD, Axis, Slice};
use preprocess::{Inputs, PreparedScan, Recipe, Recording, Step, StepRegistry};
use report::{
    counted,
    prompt::{self, Labels, Technique},
    slots::SlotSet,
};
use scan::WindowConfig;

use super::{
    parts::{KnownScan, Look, NO_CONFOUNDS, part},
    section::Section,
};
use crate::{
    Error, OneScan, Place, Result,
    answers::Trust,
    framed::framed,
    named::{self, Scaling},
    one_scan::Timed,
    plan::{People, left_out, number},
    shown::technique,
    stage::{EncodeConfig, Stage},
};

/// A package ready to be given scans.
pub(crate) struct Reader {
    section: Section,
    recipe: Recipe,
    /// None where windows of events are shown as they are.
    encode: Option<EncodeConfig>,
    /// None where the encoder is part of the model.
    frozen: Option<FrozenEncoder>,
}

/// What a model is shown of a scan.
pub(crate) struct ShownScan {
    /// `(n_windows, …)`.
    pub(crate) windows: ArrayD<f32>,
    pub(crate) technique: Technique,
}

/// Said of a scan whose confounds are taken out and are not there.
const NO_TABLE: &str =
    "the model's stages take confounds out, and no table of them lies beside the scan";

/// The files of a package.
struct Files<'a>(&'a Path);

impl Inputs for Files<'_> {
    fn place(&self, path: &Path) -> PathBuf {
        self.0.join(path)
    }

    fn digest(&self, path: &Path) -> preprocess::Result<String> {
        Ok(scan::sha256_scan(path)?)
    }

    fn fitted(&self, name: &str) -> Option<PathBuf> {
        Some(self.0.join(name))
    }
}

impl Reader {
    /// Takes the section and the files of an open package in `dir`.
    pub(crate) fn open(dir: &Path, model: &Model, registry: &StepRegistry) -> Result<Self> {
        let (path, manifest) = (dir.to_owned(), model.manifest());
        if let InputShape::Image { .. } = manifest.input {
            let problem = format!("this model reads {}, no scans", manifest.input);
            return Err(Error::NoSuchWindow { path, problem });
        }
        let mut section = Section::read(dir, model.manifest())?;
        section.find_steps(registry);
        let frozen = match (&manifest.frozen_encoder, &section.tokens) {
            (Some(encoder), _) => {
                Some(FrozenEncoder::open(encoder, section.windows, model.device())?)
            }
            (None, Some(tokens)) if matches!(manifest.config.encoder, EncoderConfig::Stored(_)) => {
                let encoder = tokens.encoder_id.clone();
                return Err(Error::TokensOnly { path, encoder });
            }
            (None, _) => None,
        };
        let identity = section.tokens.as_ref().map(|it| it.identity.as_str());
        if frozen.as_ref().is_some_and(|it| Some(it.identity()) != identity) {
            let problem = "its encoder is another one than made the tokens of its training";
            return Err(Error::Package { path, problem: problem.to_owned() });
        }
        let steps: Vec<&dyn Step> = section.stages.iter().filter_map(Stage::step).collect();
        for file in steps.iter().flat_map(|step| step.parts()) {
            part(dir, model, &file)?;
        }
        let recipe =
            Recipe::unpack(&steps, &Files(dir)).map_err(|error| naming(dir, error.into()))?;
        let encode = section.stages.iter().find_map(|stage| match stage {
            Stage::Encode(config) => Some(config.clone()),
            _ => None,
        });
        let is_whole = encode.is_some() == section.tokens.is_some();
        let Some(recipe) = recipe.filter(|_| is_whole) else {
            let problem =
                "its stages do not lead from a scan to what the model is shown".to_owned();
            return Err(Error::Package { path, problem });
        };
        Ok(Self { section, recipe, encode, frozen })
    }

    /// The scans of the cohort that the model was trained on.
    pub(crate) fn scans(&self) -> &[KnownScan] {
        &self.section.scans
    }

    /// How a text becomes slots, and their likelihoods probabilities.
    pub(crate) fn read_by(self) -> (SlotSet, Trust) {
        let Section { slots, temperature, slot_trust, .. } = self.section;
        (slots, Trust { temperature, slots: slot_trust })
    }

    /// What its model sees of a scan, which may be one of the cohort.
    pub(crate) fn look(&self, one: &OneScan<'_>, known: Option<&KnownScan>) -> Result<Look> {
        let refuse = |problem: &str| Error::NoSuchWindow {
            path: one.path.to_owned(),
            problem: problem.to_owned(),
        };
        let events = self.recipe.cut().events();
        if events.is_some() && one.place.is_none() {
            return Err(refuse(
                "this model reads one window of a scan, expected --window or --onset",
            ));
        }
        let given = self.given(one.labels).map_err(|problem| refuse(&problem))?;
        let cells = self.cells(one, known)?;
        let timed = &one.timed()?;
        let Timed { scan: one, start_s, kept } = timed;
        let of_voxels =
            self.section.stages.iter().filter_map(Stage::step).any(Step::wants_one_grid);
        if let Some(kept) = kept.as_ref().filter(|_| of_voxels && events.is_some()) {
            return Err(refuse(&left_out(kept.frames.len(), kept)));
        }
        // of an event the table says how long it was
        let stretch_s = match (events, one.place) {
            (Some(events), Some(place)) => {
                Some(locate(events, self.section.t_r_s[0], known, one.path, place, *start_s)?)
            }
            _ => None,
        };
        let onset_s = match stretch_s {
            Some((onset_s, _)) => Some(onset_s - start_s),
            None => onset(one, known)?.map(|onset_s| onset_s - start_s),
        };
        let scan = self.view(timed)?;
        let (prepared, medium) =
            self.shown(&scan, onset_s).map_err(|error| naming(one.path, error))?;
        let PreparedScan { seen, quality, .. } = &prepared;
        let technique = technique(quality, Some(self.recipe.cut()));
        let prompt =
            framed(self.section.chat.as_ref(), self.section.prompt.fill(&technique, &given));
        let whole = || seen.stretch_s(*start_s).expect("a scan that was read has frames");
        let stretch_s = stretch_s.unwrap_or_else(whole);
        let (scan, omics) = (Arc::new(medium), &self.section.omics);
        let media =
            named::of_one(&self.section.prompt, omics, scan, |it| cells.get(&it.name).cloned());
        Ok(Look { media, prompt, given, seen: seen.clone(), stretch_s })
    }

    /// What the prompt states of the person, as a cell of a table would have it.
    fn given(&self, labels: Option<&Labels>) -> std::result::Result<Labels, String> {
        let columns = self.section.prompt.columns();
        let mut given = Labels::new();
        let is_number =
            |column: &String| self.section.omics.iter().any(|it| it.columns.contains(column));
        for (column, text) in labels.into_iter().flatten() {
            if is_number(column) && !columns.contains(&column.as_str()) {
                continue;
            }
            if !columns.contains(&column.as_str()) {
                let expected = match &columns[..] {
                    [] => "nothing to be given".to_owned(),
                    columns => format!("expected {}", columns.join(" or ")),
                };
                return Err(format!("the model's prompt has no place for {column}, {expected}"));
            }
            if let Some(text) = prompt::label(column, text)? {
                given.insert(column.clone(), text);
            }
        }
        Ok(given)
    }

    /// The cells of each medium of numbers: of a table, or given one by one; of a medium without any none.
    fn cells(
        &self,
        one: &OneScan<'_>,
        known: Option<&KnownScan>,
    ) -> Result<BTreeMap<String, Vec<Option<f64>>>> {
        let refuse =
            |problem: String| Err(Error::NoSuchWindow { path: one.path.to_owned(), problem });
        let mut cells = BTreeMap::new();
        for scaling in &self.section.omics {
            let Scaling { name, columns, .. } = scaling;
            let said = |column: &String| one.labels.and_then(|labels| labels.get(column));
            let given = columns.iter().find(|column| said(column).is_some());
            if let (Some(column), Some(path)) = (given, one.omics) {
                return refuse(format!(
                    "--given {column} and --omics {} both say the numbers of {name}, expected one of them",
                    path.display()
                ));
            }
            if given.is_some() {
                let mut row = Vec::with_capacity(columns.len());
                for column in columns {
                    match said(column).map_or(Ok(None), |text| number(text)) {
                        Ok(cell) => row.push(cell),
                        Err(problem) => return refuse(format!("--given {column} is {problem}")),
                    }
                }
                cells.insert(name.clone(), row);
            } else if let Some(path) = one.omics {
                let people = People::read(path, name, columns)?;
                let own = |known: &KnownScan| {
                    (people.of(&known.subject), "no row of this scan's person, expected one")
                };
                let only = || {
                    (
                        people.only(),
                        "several people, expected one row, as nothing says whose scan this is",
                    )
                };
                let (row, found) = known.map_or_else(only, own);
                let Some(row) = row else {
                    return refuse(format!("{} has {found}", path.display()));
                };
                cells.insert(name.clone(), row);
            }
        }
        if self.section.omics.is_empty() && one.omics.is_some() {
            return refuse("this model reads no omics, expected no --omics".to_owned());
        }
        Ok(cells)
    }

    /// The scan as stages see one of the cohort.
    fn view(&self, timed: &Timed<'_>) -> Result<Recording> {
        let Timed { scan: one, kept, .. } = timed;
        let refuse = |problem: &str| Error::NoSuchWindow {
            path: one.path.to_owned(),
            problem: problem.to_owned(),
        };
        let confounds = if self.asks_for_confounds() {
            let beside = || cohort::confounds_beside(one.path);
            let found = one.confounds.map(Path::to_owned).or_else(beside);
            let problem = || refuse(&format!("{NO_TABLE}: name it with --confounds"));
            Some(found.ok_or_else(problem)?)
        } else if one.confounds.is_some() {
            return Err(refuse(NO_CONFOUNDS));
        } else {
            None
        };
        let name = one.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Recording {
            subject: "unknown".to_owned(),
            session: None,
            name: name.clone(),
            unit: name.clone(),
            file: name,
            path: one.path.to_owned(),
            sha256: None,
            t_r_s: one.t_r,
            n_frames: None,
            kept: kept.clone(),
            confounds,
            coverage: cohort::coverage_beside(one.path),
            stacked: None,
            events_s: Vec::new(),
        })
    }

    fn asks_for_confounds(&self) -> bool {
        self.section.stages.iter().any(Stage::asks_for_confounds)
    }

    /// What a chat template writes around what it is told, where its training had one.
    pub(crate) fn chat(&self) -> Option<&ChatFrame> {
        self.section.chat.as_ref()
    }

    /// A recording of any cohort with what the model's stages read beside it.
    ///
    /// # Errors
    /// Where they take confounds out, and no table of them is known or lies beside it.
    pub(crate) fn beside(&self, recording: &Recording) -> Result<Recording> {
        let mut recording = recording.clone();
        if self.asks_for_confounds() {
            let found = recording.confounds.or_else(|| cohort::confounds_beside(&recording.path));
            let (path, problem) = (recording.path.clone(), NO_TABLE.to_owned());
            recording.confounds = Some(found.ok_or(Error::NoSuchWindow { path, problem })?);
        }
        Ok(recording)
    }

    /// The most bytes that showing a recording takes.
    pub(crate) fn footprint(&self, recording: &Recording) -> u64 {
        let window = self.frozen.as_ref().map_or(0, FrozenEncoder::window_bytes);
        self.recipe.footprint(recording) + window
    }

    /// Everything that the model may be shown of a recording, which [`Self::beside`] gave: of events each window,
    /// else its windows together.
    pub(crate) fn show(&self, recording: &Recording) -> Result<ShownScan> {
        let named = |error: Error| naming(&recording.path, error);
        let prepared = self.recipe.prepare(recording, None).map_err(|it| named(it.into()))?;
        self.check_time(&recording.path, prepared.t_r_s)?;
        let technique = technique(&prepared.quality, Some(self.recipe.cut()));
        let (input, coordinates) = (self.section.windows, self.recipe.coordinates());
        let tokens = prepared.tokens(self.frozen.as_ref(), input, coordinates.as_deref());
        let tokens = tokens.map_err(|it| named(it.into()))?;
        let windows = if let Some(encode) = &self.encode {
            encode.medium(tokens, input)
        } else {
            let shape = [&[tokens.n_windows], &input.dims()[..]].concat();
            ArrayD::from_shape_vec(shape, tokens.values).map_err(|_| {
                let problem = format!("has windows of other sizes, expected {input}");
                Error::NoSuchWindow { path: recording.path.clone(), problem }
            })?
        };
        Ok(ShownScan { windows, technique })
    }

    /// What the model sees of the windows of a scan: one by its place, or all of them.
    pub(crate) fn medium(&self, windows: &ArrayD<f32>, one: Option<usize>) -> Medium {
        match one {
            None => windows.clone(),
            // tokens are those of several windows of a scan, here of one
            Some(at) if self.encode.is_some() => {
                windows.slice_axis(Axis(0), Slice::from(at..=at)).to_owned()
            }
            Some(at) => windows.index_axis(Axis(0), at).to_owned(),
        }
    }

    /// The scan as the cohort's were shown; where an onset is given, one window from there on instead of
    /// those of the stages, or that of an event.
    fn shown(&self, scan: &Recording, onset_s: Option<f64>) -> Result<(PreparedScan, Medium)> {
        let prepared = self.recipe.prepare(scan, onset_s)?;
        self.check_time(&scan.path, prepared.t_r_s)?;
        let (input, coordinates) = (self.section.windows, self.recipe.coordinates());
        let tokens = prepared.tokens(self.frozen.as_ref(), input, coordinates.as_deref())?;
        let medium = match &self.encode {
            Some(encode) => encode.medium(tokens, input),
            None => ArrayD::from_shape_vec(input.dims(), tokens.values).map_err(|_| {
                let problem = format!("has one window, expected {input}");
                Error::NoSuchWindow { path: scan.path.clone(), problem }
            })?,
        };
        Ok((prepared, medium))
    }

    /// Refuses a scan of another rate than those of the cohort.
    fn check_time(&self, path: &Path, t_r_s: f64) -> Result<()> {
        let problem = self.section.other_rate(t_r_s);
        let refuse = |problem| Err(Error::NoSuchWindow { path: path.to_owned(), problem });
        problem.map_or(Ok(()), refuse)
    }
}

/// `error` with the scan's name, once.
fn naming(path: &Path, error: Error) -> Error {
    if error.to_string().contains(&path.display().to_string()) {
        return error;
    }
    Error::Series { path: path.to_owned(), source: Box::new(error) }
}

/// Onset and duration of the window of an event, in seconds from the start of the scan.
fn locate(
    events: &WindowConfig,
    t_r_s: f64,
    known: Option<&KnownScan>,
    scan: &Path,
    place: Place,
    start_s: f64,
) -> Result<(f64, f64)> {
    let length_s = events.n_frames as f64 * t_r_s;
    let refuse = |problem: String| Error::NoSuchWindow { path: scan.to_owned(), problem };
    match (place, known) {
        (Place::Onset(onset_s), known) => {
            let same = known.and_then(|known| {
                known.windows.iter().find(|it| (it.onset_s - onset_s).abs() < 1e-9)
            });
            Ok((onset_s, same.map_or(length_s, |it| it.duration_s)))
        }
        (Place::Window(0), _) => Err(refuse("windows are counted from 1, found 0".to_owned())),
        (Place::Window(number), Some(known)) => {
            let n = counted(known.windows.len(), "window");
            let found = known.windows.get(number - 1).map(|it| (it.onset_s, it.duration_s));
            found.ok_or_else(|| {
                refuse(format!("has {n} in the model's cohort, found --window {number}"))
            })
        }
        // the shift is taken off, so that window 1 begins with the first frame
        (Place::Window(number), None) => {
            Ok((start_s + (number - 1) as f64 * length_s - events.shift_s, length_s))
        }
    }
}

/// The second that a window is asked for from; none where the scan is seen as the cohort's were.
pub(super) fn onset(one: &OneScan<'_>, known: Option<&KnownScan>) -> Result<Option<f64>> {
    let refuse = |problem: String| Error::NoSuchWindow { path: one.path.to_owned(), problem };
    let number = match one.place {
        None => return Ok(None),
        Some(Place::Onset(onset_s)) => return Ok(Some(onset_s)),
        Some(Place::Window(number)) => number,
    };
    match known {
        _ if number == 1 => Ok(None),
        Some(known) if (1..=known.windows.len()).contains(&number) => Ok(None),
        Some(known) => {
            let n = counted(known.windows.len(), "window");
            Err(refuse(format!("has {n} in the model's cohort, found --window {number}")))
        }
        None => Err(refuse(
            "the model sees a scan as a whole and writes one report of it, expected neither --window nor \
             --onset; --onset shows it one window from there on"
                .to_owned(),
        )),
    }
}
