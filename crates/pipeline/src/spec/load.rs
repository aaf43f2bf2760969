//! From a file and `--set`s to a [`Spec`] with every component written out.
use std::{
    cell::RefCell,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use config::{Source, YamlError};
use encoder::{EncoderConfig, EncoderRegistry, LoraConfig, WeightsSource};
use files::FileIndex;
use flamingo::{Device, Opening, Precision};
use preprocess::{Inputs, StepRegistry, steps::OLD_WORDS};
use scan::{OpenOptions, Shape};

use super::{CohortSpec, Spec};
use crate::{Additions, Error, Result, plan::RunPlan, stage::Stage};

/// The folder of stored results, inside that of the outputs.
pub(crate) const CACHE: &str = "cache";

/// Letters of a name; it stands in paths, in the names of packages and on pages.
const LONGEST_NAME: usize = 100;

/// A pipeline file as read, components written out.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What it says.
    pub spec: Spec,
    source: Source,
    known: Arc<FileIndex>,
    encoders: EncoderRegistry,
    steps: StepRegistry,
    device: Arc<OnceLock<Device>>,
}

impl Inputs for Loaded {
    fn place(&self, path: &Path) -> PathBuf {
        self.resolve(path)
    }

    fn digest(&self, path: &Path) -> preprocess::Result<String> {
        Ok(self.sha256(path)?)
    }

    fn shape(&self, path: &Path, options: &OpenOptions) -> scan::Result<Shape> {
        let question = format!("shape {options:?}");
        self.known.fact(path, &scan::files_of_scan(path), &question, || scan::shape(path, options))
    }
}

impl Loaded {
    /// Reads `path` and applies `sets`, each `KEY.KEY=VALUE`.
    pub fn read(path: &Path, sets: &[String]) -> Result<Self> {
        Self::read_with(path, sets, &Additions::default())
    }

    /// The same for a program that brings steps and encoders along: a stage `step` names one of those, `added`
    /// under `model.encoder` one of these.
    pub fn read_with(path: &Path, sets: &[String], additions: &Additions) -> Result<Self> {
        let source = source_of(path, sets)?;
        let spec: Spec = source.typed(|spec, dir| inline(spec, dir, additions))?;
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if spec.name.is_empty() || !spec.name.chars().all(fits) {
            return Err(place(&source, Error::Name { name: spec.name }));
        }
        if spec.name.len() > LONGEST_NAME {
            let (found, most) = (spec.name.len(), LONGEST_NAME);
            return Err(place(&source, Error::LongName { found, most }));
        }
        let known = Arc::new(FileIndex::open(&index_of(&source, &spec)));
        let Additions { steps, encoders } = additions.clone();
        Ok(Self { spec, source, known, encoders, steps, device: Arc::default() })
    }

    /// The same, but every file that decides a result is read, though nothing of it seems to have
    /// changed since it was read before.
    #[must_use]
    pub fn verifying(self) -> Self {
        let known = FileIndex::verifying(&index_of(&self.source, &self.spec));
        Self { known: Arc::new(known), ..self }
    }

    /// The same with settings that are given elsewhere than in the file or in a `--set`.
    #[must_use]
    pub(crate) fn changed(mut self, change: impl FnOnce(&mut Spec)) -> Self {
        change(&mut self.spec);
        let known = Arc::new(FileIndex::open(&index_of(&self.source, &self.spec)));
        Self { known, ..self }
    }

    /// The same for a task of an array, which keeps what it learns in a file of its own.
    #[must_use]
    pub fn for_task(self, name: &str) -> Self {
        let index = FileIndex::open_part(&index_of(&self.source, &self.spec), name);
        let index = if self.known.is_trusting() { index } else { index.reading_all() };
        Self { known: Arc::new(index), ..self }
    }

    /// What was learned from the files that it names: those that did not change are not opened again.
    pub fn known(&self) -> &FileIndex {
        &self.known
    }

    /// The digest of a file, or of both files of a pair.
    pub(crate) fn sha256(&self, path: &Path) -> Result<String, scan::Error> {
        scan::sha256_scan_by(path, |file| self.known.sha256(file))
    }

    /// `error` where the key it is about was written.
    pub(crate) fn place(&self, error: Error) -> Error {
        place(&self.source, error)
    }

    /// Where models work, opened when it is first asked for.
    ///
    /// # Errors
    /// Where it is a GPU that cannot be used.
    pub(crate) fn device(&self) -> Result<&Device> {
        if let Some(device) = self.device.get() {
            return Ok(device);
        }
        let device = self.spec.device.open().map_err(flamingo::Error::from)?;
        Ok(self.device.get_or_init(|| device))
    }

    /// How packages are opened there: with weights as their files store them.
    ///
    /// # Errors
    /// As [`Self::device`].
    pub(crate) fn opening(&self) -> Result<Opening> {
        Ok(Opening { precision: Precision::Stored, device: self.device()?.clone() })
    }

    /// The encoders that the program brings along.
    pub(crate) fn encoders(&self) -> &EncoderRegistry {
        &self.encoders
    }

    /// The steps that the program brings along.
    pub(crate) fn steps(&self) -> &StepRegistry {
        &self.steps
    }

    /// The encoder, with its files as seen from here, and the corrections that a training learns beside it.
    pub(crate) fn encoder(&self) -> Option<EncoderConfig> {
        let mut encoder = self.spec.model.as_ref()?.encoder.get().clone();
        encoder.relocate(&|path| self.resolve(path));
        // the plan refuses a package that cannot be read
        let _ = flamingo::find_encoder_weights(&mut encoder);
        // and corrections that the encoder cannot have
        let _ = self.encoder_lora().map_or(Ok(()), |lora| encoder.set_lora(lora));
        Some(encoder)
    }

    /// Refuses corrections that the encoder cannot have.
    pub(crate) fn check_lora(&self) -> Result<()> {
        let (Some(model), Some(lora)) = (&self.spec.model, self.encoder_lora()) else {
            return Ok(());
        };
        model.encoder.get().clone().set_lora(lora).map_err(Error::Encoder)
    }

    fn encoder_lora(&self) -> Option<LoraConfig> {
        self.spec.stages().iter().find_map(|stage| match stage {
            Stage::Finetune(fit) => fit.lora.clone()?.encoder,
            _ => None,
        })
    }

    /// Refuses an encoder that names what its package has.
    pub(crate) fn check_encoder_package(&self) -> Result<()> {
        let Some(model) = &self.spec.model else { return Ok(()) };
        let mut encoder = model.encoder.get().clone();
        encoder.relocate(&|path| self.resolve(path));
        Ok(flamingo::find_encoder_weights(&mut encoder)?)
    }

    /// The package that holds or names the encoder's weights.
    pub(crate) fn encoder_package(&self) -> Option<PathBuf> {
        match self.spec.model.as_ref()?.encoder.get().weights()? {
            WeightsSource::Package(dir) => Some(self.resolve(dir)),
            WeightsSource::File(_) | WeightsSource::Seed(_) => None,
        }
    }

    /// A path of the file, as seen from here.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.source.resolve(path)
    }

    /// Every file that the pipeline names, as people are shown it, with its digest: tables, atlases, weights,
    /// and of a package its manifest, which holds the digest of every part. Folders of scans have none.
    pub(crate) fn named_files(
        &self,
        sha256: impl Fn(&Path) -> Option<String>,
    ) -> Vec<(String, String)> {
        let mut spec = self.spec.clone();
        let mut paths: Vec<PathBuf> =
            spec.cohort.paths().into_iter().map(|it| it.clone()).collect();
        paths.extend(spec.package.clone());
        if let Some(model) = &mut spec.model {
            let named = RefCell::new(Vec::new());
            model.encoder.get_mut().relocate(&|path| {
                named.borrow_mut().push(path.to_owned());
                path.to_owned()
            });
            paths.extend(named.into_inner());
        }
        let stages = spec.stages.get_mut().0.iter_mut();
        paths.extend(stages.flat_map(Stage::paths).map(|it| it.clone()));
        let digest = |path: PathBuf| {
            let path = self.resolve(&path);
            let file = if path.is_dir() { path.join(flamingo::MANIFEST) } else { path.clone() };
            let sha256 = file.is_file().then(|| sha256(&file)).flatten()?;
            Some((files::shown(&path), sha256))
        };
        paths.into_iter().filter_map(digest).collect()
    }

    /// One run of the spec as YAML that says the same from inside `run_dir`.
    pub(crate) fn as_used(&self, run_dir: &Path, run: &RunPlan) -> String {
        let mut spec = self.spec.clone();
        spec.seed = run.seed;
        // a fold cannot be said in one file: the whole series stays written there
        spec.repeat.take_if(|repeat| !repeat.divides());
        let moved = |path: &mut PathBuf| {
            if let Some(relative) = files::relative(&self.resolve(path), run_dir) {
                *path = relative;
            }
        };
        moved(&mut spec.outputs);
        spec.cohort.paths().into_iter().for_each(moved);
        if let Some(model) = &mut spec.model {
            moved(model.lm.path_mut());
            let beside = |path: &Path| {
                files::relative(&self.resolve(path), run_dir).unwrap_or_else(|| path.to_owned())
            };
            model.encoder.get_mut().relocate(&beside);
        }
        let stages = spec.stages.get_mut().0.iter_mut();
        stages.flat_map(Stage::paths).for_each(moved);
        spec.package.iter_mut().for_each(moved);
        let yaml = config::write(&spec);
        let which = run.label.as_ref().map(|label| format!("# Repetition {label}.\n"));
        let which = which.unwrap_or_default();
        format!(
            "# What was run, with --set applied and components written out. Paths are relative to this\n\
             # file, or as they were written where it shares no folder with them.\n{which}{yaml}"
        )
    }
}

/// `error` where its key was written: the `--set`, or file, line and column.
fn place(source: &Source, error: Error) -> Error {
    if let Error::NoneFits { source: first, excluded } = error {
        return Error::NoneFits { source: Box::new(place(source, *first)), excluded };
    }
    let Some(key) = error.key() else { return error };
    let keys: Vec<&str> = key.split('.').collect();
    let placed = |keys: &[&str]| source.place(keys, error.to_string());
    let mut at = placed(&keys);
    if let [stages @ "stages", stage, rest @ ..] = keys.as_slice()
        && let Some(other) = other_word(stage)
    {
        let text = |placed: &Option<config::Error>| placed.as_ref().map(ToString::to_string);
        // a key that is not there is shown where the block is that lacks it
        if text(&at) == text(&placed(&[stages])) {
            at = placed(&[&[*stages, other], rest].concat());
        }
    }
    match at {
        Some(config::Error::Yaml(pointed)) => config::Error::Yaml(exactly(pointed, &error)).into(),
        Some(placed) => placed.into(),
        None => error,
    }
}

/// The other word of a stage that has two.
fn other_word(stage: &str) -> Option<&'static str> {
    OLD_WORDS.iter().find_map(|&(new, old)| match stage {
        it if it == new => Some(old),
        it if it == old => Some(new),
        _ => None,
    })
}

/// Reads a file; a set may name a stage by either of its words, whichever the file has.
fn source_of(path: &Path, sets: &[String]) -> config::Result<Source> {
    let applied = |sets: &[String]| -> config::Result<Source> {
        let source = Source::read(path, sets)?;
        source.typed::<serde_json::Value, config::Error>(|value, _| Ok(value))?;
        Ok(source)
    };
    let of_user = applied(sets);
    if of_user.is_ok() {
        return of_user;
    }
    let mut renamed = Vec::with_capacity(sets.len());
    for set in sets {
        renamed.push(set.clone());
        if let (Err(_), Some(other)) = (applied(&renamed), by_other_word(set)) {
            let last = renamed.len() - 1;
            renamed[last] = other;
        }
    }
    // of what is wrong the user's own words are told
    applied(&renamed).or(of_user)
}

/// A set that names a stage by its other word, of one that has two.
fn by_other_word(set: &str) -> Option<String> {
    let rest = set.trim_start().strip_prefix("stages.")?;
    let (stage, _) = rest.split_once(['.', '='])?;
    Some(format!("stages.{}{}", other_word(stage.trim())?, &rest[stage.len()..]))
}

/// A mistake inside a query, at its place, where the query stands in one line.
fn exactly(pointed: YamlError, error: &Error) -> YamlError {
    let query = match error {
        Error::StageQuery { source, .. } => source,
        Error::Cohort { source, .. } => match source.as_ref() {
            ::cohort::Error::Query(query) => query,
            _ => return pointed,
        },
        _ => return pointed,
    };
    match pointed.source_line.find(&query.text) {
        Some(start) => {
            let column = pointed.source_line[..start].chars().count() + query.at + 1;
            let (message, len) = (query.problem.clone(), Some(query.len));
            YamlError { column, len, message, ..pointed }
        }
        None => pointed,
    }
}

/// Where what files said is kept for all pipelines with the same outputs.
fn index_of(source: &Source, spec: &Spec) -> PathBuf {
    source.resolve(&spec.outputs).join(CACHE).join("files.index")
}

fn inline(mut spec: Spec, dir: &Path, additions: &Additions) -> Result<Spec> {
    let Additions { steps, encoders } = additions;
    if let CohortSpec::Pairs(pairs) = &mut spec.cohort {
        pairs.slots = pairs.slots.take().map(|slots| slots.inline(dir)).transpose()?;
    }
    spec.model = spec.model.map(|model| model.inline(dir)).transpose()?;
    spec.model.iter_mut().for_each(|model| model.encoder.get_mut().find(encoders));
    spec.stages = spec.stages.inline_with(dir, |strategy, folder| {
        // a step tells which files it names
        strategy.0.iter_mut().for_each(|stage| stage.find_step(steps));
        let paths = strategy.0.iter_mut().flat_map(Stage::paths);
        paths.for_each(|path| *path = files::join(folder, path));
        strategy.0.iter_mut().for_each(|stage| stage.component_in(folder));
    })?;
    for stage in &mut spec.stages.get_mut().0 {
        stage.find_step(steps);
        stage.inline(dir)?;
    }
    Ok(spec)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(path: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
    }

    /// The short quickstart with one thing changed, in a folder from which its paths still lead home.
    fn changed(from: &str, to: &str) -> (tempfile::TempDir, Result<Loaded>) {
        let text = std::fs::read_to_string(repository("pipelines/quickstart-short.yaml")).unwrap();
        assert!(text.contains(from), "{from}");
        let dir = tempfile::tempdir_in(repository("pipelines")).unwrap();
        let path = dir.path().join("p.yaml");
        let text = text.replacen(from, to, 1).replace("../configs", "../../configs");
        std::fs::write(&path, text).unwrap();
        let loaded = Loaded::read(&path, &[]);
        (dir, loaded)
    }

    fn place_of(from: &str, to: &str, underlined: &str) -> String {
        let (_dir, loaded) = changed(from, to);
        let Err(Error::Config(config::Error::Yaml(error))) = loaded else { panic!("{loaded:?}") };
        let rest: String = error.source_line.chars().skip(error.column - 1).collect();
        assert!(rest.starts_with(underlined), "{error}");
        error.message
    }

    #[test]
    fn stages_are_read_by_the_words_of_earlier_versions() {
        let now = changed("seed: 1", "seed: 1").1.unwrap();
        let (dir, old) = changed("- event_windows:", "- window:");
        assert_eq!(old.unwrap().spec, now.spec);
        // a set names it by either word, and what is wrong is shown where it stands
        let path = dir.path().join("p.yaml");
        for word in ["window", "event_windows"] {
            let read = |set: &str| Loaded::read(&path, &[format!("stages.{word}.{set}")]);
            let names: Vec<_> = read("n_frames=8").unwrap().spec.stages().to_vec();
            let expected =
                serde_json::json!({ "event_windows": { "shift_s": 5.0, "n_frames": 8 } });
            assert_eq!(serde_json::to_value(&names[2]).unwrap(), expected);
            let said = read("n_frmes=8").unwrap_err().to_string();
            assert!(said.contains("unknown field `n_frmes`"), "{said}");
        }
        let read = Loaded::read(&path, &[]).unwrap();
        let problem = Error::StageInput { stage: "event_windows", problem: "is wrong".to_owned() };
        let said = read.place(problem).to_string();
        assert!(said.contains("- window: {"), "{said}");
    }

    #[test]
    fn every_shipped_pipeline_loads() {
        let mut n = 0;
        for entry in std::fs::read_dir(repository("pipelines")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|it| it == "yaml") {
                let loaded = Loaded::read(&path, &[]).unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(
                    Some(loaded.spec.name.as_str()),
                    path.file_stem()
                        .and_then(|it| it.to_str())
                        .map(|stem| if stem == "pretrain-tiny-lm" { "tiny-lm" } else { stem })
                );
                n += 1;
            }
        }
        assert!(n >= 6);
    }

    #[test]
    fn mistakes_are_shown_where_they_are() {
        let message = place_of("seed: 1", "sede: 1", "sede");
        assert!(
            message.starts_with("unknown field `sede`, expected one of name, seed"),
            "{message}"
        );
        let message = place_of("- event_windows:", "- event_windws:", "event_windws");
        assert!(message.contains("expected one of mask, clean, event_windows"), "{message}");
        let message = place_of("n_frames: 9", "n_frames: nine", "nine");
        assert_eq!(message, "expected a whole number, not negative, found `nine`");
        let message = place_of("seed: 1\n", "seed: 1\nseed: 2\n", "seed: 2");
        assert_eq!(message, "key `seed` appears twice in this block");
        let message = place_of("detrend: quadratic", "detrend: cubic", "cubic");
        assert!(message.contains("cubic"), "{message}");
    }

    #[test]
    fn a_mistake_in_a_component_names_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("resampler.yaml");
        std::fs::write(&file, "n_latents: 8\ndept: 1\n").unwrap();
        let to = format!("{{ file: {} }}", file.display());
        let (_dir, loaded) = changed("{ file: ../configs/resampler/tiny_v1.yaml }", &to);
        let Err(Error::Config(config::Error::Yaml(error))) = loaded else { panic!("{loaded:?}") };
        assert_eq!((error.path, error.line, error.column), (file, 2, 1));
    }

    #[test]
    fn overrides_reach_stages_and_component_files() {
        let path = repository("pipelines/quickstart.yaml");
        let read = |sets: &[&str]| {
            Loaded::read(&path, &sets.iter().map(|&set| set.to_owned()).collect::<Vec<_>>())
        };
        let spec = read(&["seed=7", "model.resampler.depth=2"]).unwrap().spec;
        assert_eq!((spec.seed, spec.model.unwrap().resampler.get().depth), (7, 2));
        let error = read(&["seed=7", "stages.finetune.stepz=3"]).unwrap_err().to_string();
        assert!(
            error.starts_with("--set stages.finetune.stepz=3: unknown field `stepz`"),
            "{error}"
        );
        let error = read(&["name=a b"]).unwrap_err().to_string();
        assert!(error.contains("cannot be a folder name"), "{error}");
    }

    #[test]
    fn what_is_about_no_key_stays_as_it_is() {
        let loaded = Loaded::read(&repository("pipelines/quickstart.yaml"), &[]).unwrap();
        let stopped = || Error::from(engine::Error::Interrupted);
        assert_eq!(loaded.place(stopped()).to_string(), stopped().to_string());
        let placed = loaded.place(Error::NoStages).to_string();
        assert!(placed.contains("quickstart.yaml:") && placed.contains(": there are no stages"));
    }

    #[test]
    fn what_was_used_can_be_used_again() {
        let loaded = Loaded::read(&repository("pipelines/quickstart.yaml"), &[]).unwrap();
        let run_dir = repository("runs/quickstart");
        let run = RunPlan { label: None, repeat: None, fold: None, seed: 3, splits: Vec::new() };
        let used: Spec = config::parse(Path::new("used"), &loaded.as_used(&run_dir, &run)).unwrap();
        assert_eq!(used.seed, 3);
        let CohortSpec::Pairs(pairs) = &used.cohort else { panic!("{used:?}") };
        assert_eq!(pairs.table, Path::new("../../fixtures/haxby2001/pairs.csv"));
        assert_eq!(used.stages(), loaded.spec.stages());
    }
}
