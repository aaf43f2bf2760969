//! The layout of Hateful Memes: a line of JSON for each picture.
use std::path::{Path, PathBuf};

use report::few_shot::Ask;
use serde::Deserialize;
use serde_json::Value;

use super::{Item, Layout, Pictures, Problems, Task, Truth, some, twice};
use crate::{
    Error, Result,
    spec::{Loaded, MemesLayout},
};

/// The second is what label 1 means.
const CLASSES: [&str; 2] = ["no", "yes"];

#[derive(Deserialize)]
struct Line {
    id: Value,
    img: String,
    label: usize,
    text: String,
}

pub(super) fn read(
    loaded: &Loaded,
    spec: &MemesLayout,
    pictures: &mut Pictures,
) -> Result<(Vec<PathBuf>, Layout)> {
    let images = loaded.resolve(&spec.images);
    let [train, test] = [&spec.train, &spec.test].map(|path| loaded.resolve(path));
    let classes = CLASSES.map(str::to_owned).to_vec();
    let layout = Layout {
        task: Task::Classes(classes),
        train: items(&train, &images, pictures)?,
        test: items(&test, &images, pictures)?,
    };
    Ok((vec![train, test], layout))
}

fn items(path: &Path, images: &Path, pictures: &mut Pictures) -> Result<Vec<Item>> {
    let text = files::read_table(path)?;
    let mut problems = Problems::of(path);
    let mut items = Vec::new();
    for (line, number) in text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty()) {
        let line: Line = match serde_json::from_str(line) {
            Ok(line) => line,
            Err(error) => {
                problems.tell(format!("line {number}: {error}; expected id, img, label and text"));
                continue;
            }
        };
        let Some(class) = CLASSES.get(line.label) else {
            problems.tell(format!("line {number}: label is {}, expected 0 or 1", line.label));
            continue;
        };
        let Some(file) = Path::new(&line.img).file_name() else {
            problems.tell(format!("line {number}: img {:?} names no file", line.img));
            continue;
        };
        problems.check_text(&format!("line {number}: the text"), &line.text);
        items.push(Item {
            id: line.id.as_str().map_or_else(|| line.id.to_string(), str::to_owned),
            picture: pictures.place(files::join(images, Path::new(file))),
            ask: Ask::Hateful(line.text),
            answer: Some((*class).to_owned()),
            truth: Truth::Class(line.label),
        });
    }
    for id in twice(items.iter().map(|it| it.id.as_str())) {
        problems.tell(format!("item {id} is listed twice"));
    }
    for (label, class) in CLASSES.iter().enumerate() {
        if !items.is_empty() && !items.iter().any(|it| it.truth == Truth::Class(label)) {
            problems.tell(format!("class {class} has no member: no line has label {label}"));
        }
    }
    Error::collect(problems.all)?;
    some(path, "memes", &items)?;
    Ok(items)
}
