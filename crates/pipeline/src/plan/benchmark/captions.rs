//! Karpathy's layout: one file for all pictures, each with its split and its captions.
use std::path::{Path, PathBuf};

use report::few_shot::Ask;
use serde::Deserialize;
use serde_json::Value;

use super::{Item, Layout, Pictures, Problems, Task, Truth, some, twice};
use crate::{
    Error, Result,
    spec::{CaptionsLayout, Loaded},
};

#[derive(Deserialize)]
struct File {
    images: Vec<Image>,
}

#[derive(Deserialize)]
struct Image {
    filename: String,
    filepath: Option<String>,
    split: String,
    sentences: Vec<Sentence>,
    cocoid: Option<Value>,
}

#[derive(Deserialize)]
struct Sentence {
    raw: String,
}

impl Image {
    /// Of COCO its number, of others the name of the file up to its first full stop, as OpenFlamingo has it.
    fn id(&self) -> String {
        let name = || self.filename.split('.').next().unwrap_or_default().to_owned();
        self.cocoid.as_ref().map_or_else(name, ToString::to_string)
    }

    fn path(&self, images: &Path) -> PathBuf {
        let folder = self.filepath.as_deref().unwrap_or_default();
        files::join(&files::join(images, Path::new(folder)), Path::new(&self.filename))
    }
}

pub(super) fn read(
    loaded: &Loaded,
    spec: &CaptionsLayout,
    pictures: &mut Pictures,
) -> Result<(Vec<PathBuf>, Layout)> {
    let (path, images) = (loaded.resolve(&spec.karpathy), loaded.resolve(&spec.images));
    let file: File = files::read_json(&path)?;
    let mut problems = Problems::of(&path);
    let mut items = |split: &str| -> Vec<Item> {
        let of_split = file.images.iter().filter(|image| image.split == split);
        let item = |image: &Image| {
            let id = image.id();
            let captions: Vec<String> = image.sentences.iter().map(|it| it.raw.clone()).collect();
            if captions.iter().all(|it| it.trim().is_empty()) {
                problems.tell(format!("image {id} has no sentence, expected at least one"));
            }
            captions
                .iter()
                .for_each(|it| problems.check_text(&format!("a sentence of image {id}"), it));
            Item {
                id,
                picture: pictures.place(image.path(&images)),
                ask: Ask::Caption,
                answer: captions.first().cloned(),
                truth: Truth::Captions(captions),
            }
        };
        of_split.map(item).collect()
    };
    let (train, test) = (items("train"), items("test"));
    for id in twice(train.iter().chain(&test).map(|it| it.id.as_str())) {
        problems.tell(format!("image {id} is listed twice"));
    }
    Error::collect(problems.all)?;
    some(&path, "split train", &train)?;
    some(&path, "split test", &test)?;
    Ok((vec![path], Layout { task: Task::Captions, train, test }))
}
