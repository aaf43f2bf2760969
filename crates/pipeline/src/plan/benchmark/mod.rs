//! A data set for few-shot evaluation: its solved examples and its items, read from the files of its layout.
mod captions;
mod folders;
mod memes;
mod questions;

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
};

use encoder::InputShape;
use flamingo::{Compat, END_OF_CHUNK, IMAGE};
use report::few_shot::Ask;

use crate::{
    Error, Result,
    model_id::model_id,
    phases::FEW_SHOT,
    spec::{BenchmarkSpec, Loaded},
};

/// A data set and the package that is asked.
#[derive(Clone, Debug)]
pub struct BenchmarkPlan {
    /// The files that describe it, with their digests.
    pub files: Vec<(PathBuf, String)>,
    /// What is asked.
    pub task: Task,
    /// Every picture once.
    pub pictures: Vec<BenchmarkPicture>,
    /// Solved examples.
    pub train: Vec<Item>,
    /// What is asked.
    pub test: Vec<Item>,
    /// Folder of the model package.
    pub package: PathBuf,
    /// The model, by what is in it.
    pub model_id: String,
}

/// What is asked of a picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// A caption.
    Captions,
    /// A short answer.
    Questions,
    /// One of these classes.
    Classes(Vec<String>),
}

/// One picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BenchmarkPicture {
    /// Its file, without folders.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Digest of the file, where a run uses it.
    pub sha256: Option<String>,
}

/// One question about a picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// As the data set names it.
    pub id: String,
    /// Its picture.
    pub picture: usize,
    /// What is asked.
    pub ask: Ask,
    /// The answer that it has as a solved example; of an item none where nobody says it.
    pub answer: Option<String>,
    /// What is right.
    pub truth: Truth,
}

/// What is right.
#[derive(Clone, Debug, PartialEq)]
pub enum Truth {
    /// What people wrote.
    Captions(Vec<String>),
    /// What people answered, each with whatever else the file says of it.
    Answers(Vec<(String, String)>),
    /// One of the classes.
    Class(usize),
    /// Nobody says it.
    Unknown,
}

/// What a layout holds.
pub(super) struct Layout {
    task: Task,
    train: Vec<Item>,
    test: Vec<Item>,
}

/// The pictures of a data set, as they are found.
#[derive(Default)]
struct Pictures {
    all: Vec<BenchmarkPicture>,
    places: HashMap<PathBuf, usize>,
}

impl Pictures {
    fn place(&mut self, path: PathBuf) -> usize {
        *self.places.entry(path).or_insert_with_key(|path| {
            let name =
                path.file_name().map_or_else(String::new, |it| it.to_string_lossy().into_owned());
            self.all.push(BenchmarkPicture { name, path: path.clone(), sha256: None });
            self.all.len() - 1
        })
    }
}

/// Problems with a file, to be told together.
struct Problems<'a> {
    path: &'a Path,
    all: Vec<Error>,
}

impl<'a> Problems<'a> {
    fn of(path: &'a Path) -> Self {
        Self { path, all: Vec::new() }
    }

    fn tell(&mut self, problem: String) {
        self.all.push(Error::Pictures { path: self.path.to_owned(), problem });
    }

    /// Refuses a text that holds a token, which would be read as one.
    fn check_text(&mut self, what: &str, text: &str) {
        for token in [IMAGE, END_OF_CHUNK] {
            if text.contains(token) {
                self.tell(format!("{what} holds the token `{token}`, expected words alone"));
            }
        }
    }
}

/// The data set, its pictures not yet looked at.
pub(super) fn plan(loaded: &Loaded, spec: &BenchmarkSpec, compat: Compat) -> Result<BenchmarkPlan> {
    let (stage, section) = (FEW_SHOT, "package");
    let package = loaded.spec.package.as_ref().ok_or(Error::MissingSection { stage, section })?;
    let package = loaded.resolve(package);
    let info = flamingo::inspect(&package)?;
    if !matches!(info.manifest.input, InputShape::Image { .. }) {
        let problem = format!("this package reads {}, expected pictures", info.manifest.input);
        return Err(Error::Pictures { path: package, problem });
    }
    let mut pictures = Pictures::default();
    let by_place = compat == Compat::OpenFlamingo;
    let (files, layout) = match spec {
        BenchmarkSpec::Captions(it) => captions::read(loaded, it, &mut pictures)?,
        BenchmarkSpec::Questions(it) => questions::read(loaded, it, by_place, &mut pictures)?,
        BenchmarkSpec::HatefulMemes(it) => memes::read(loaded, it, &mut pictures)?,
        BenchmarkSpec::ImageFolders(it) => folders::read(loaded, it, &mut pictures)?,
    };
    let digest = |path: PathBuf| Ok((path.clone(), loaded.sha256(&path)?));
    let Layout { task, train, test } = layout;
    Ok(BenchmarkPlan {
        files: files.into_iter().map(digest).collect::<Result<_>>()?,
        task,
        pictures: pictures.all,
        train,
        test,
        model_id: model_id(&info.manifest),
        package,
    })
}

/// Refuses a part without items.
fn some(path: &Path, part: &str, items: &[Item]) -> Result<()> {
    if items.is_empty() {
        let problem = format!("it has nothing for {part}, expected at least one item");
        return Err(Error::Pictures { path: path.to_owned(), problem });
    }
    Ok(())
}

/// Names that occur more than once, each once.
fn twice<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut counts = BTreeMap::new();
    names.for_each(|name| *counts.entry(name).or_insert(0) += 1);
    counts.into_iter().filter_map(|(name, n)| (n > 1).then_some(name)).collect()
}
