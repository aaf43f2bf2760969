//! The layout of ImageNet: a folder of pictures for each class, and a file with their names.
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use report::few_shot::Ask;

use super::{Item, Layout, Pictures, Problems, Task, Truth};
use crate::{
    Error, Result,
    spec::{FoldersLayout, Loaded},
};

/// Endings of pictures; other files are left alone.
const ENDINGS: [&str; 3] = ["jpeg", "jpg", "png"];

pub(super) fn read(
    loaded: &Loaded,
    spec: &FoldersLayout,
    pictures: &mut Pictures,
) -> Result<(Vec<PathBuf>, Layout)> {
    let path = loaded.resolve(&spec.names);
    // in the order of the folders' names, as torchvision numbers classes
    let names: BTreeMap<String, String> = files::read_json(&path)?;
    let mut problems = Problems::of(&path);
    for (folder, name) in &names {
        problems.check_text(&format!("the name of {folder}"), name);
        if name.trim().is_empty() {
            problems.tell(format!("class {folder} has no name"));
        }
    }
    if names.len() < 2 {
        problems.tell(format!("it names {} classes, expected at least two", names.len()));
    }
    Error::collect(problems.all)?;
    let [train, test] = [&spec.train, &spec.test].map(|path| loaded.resolve(path));
    let layout = Layout {
        task: Task::Classes(names.values().cloned().collect()),
        train: items(&train, &names, pictures)?,
        test: items(&test, &names, pictures)?,
    };
    Ok((vec![path], layout))
}

fn items(
    path: &Path,
    names: &BTreeMap<String, String>,
    pictures: &mut Pictures,
) -> Result<Vec<Item>> {
    let mut problems = Problems::of(path);
    for folder in files::list(path)?.into_iter().filter(|it| path.join(it).is_dir()) {
        if !names.contains_key(&folder) {
            problems.tell(format!("the class of folder {folder} has no name in the file of names"));
        }
    }
    let mut items = Vec::new();
    for (class, (folder, name)) in names.iter().enumerate() {
        let inside = path.join(folder);
        let found = if inside.is_dir() { files::list(&inside)? } else { Vec::new() };
        let mut found: Vec<String> = found.into_iter().filter(|it| is_picture(it)).collect();
        found.sort();
        if found.is_empty() {
            problems.tell(format!("class {name} has no member: folder {folder} holds no picture"));
        }
        items.extend(found.into_iter().map(|file| Item {
            id: format!("{folder}/{file}"),
            picture: pictures.place(inside.join(&file)),
            ask: Ask::Class,
            answer: Some(name.clone()),
            truth: Truth::Class(class),
        }));
    }
    Error::collect(problems.all)?;
    Ok(items)
}

fn is_picture(file: &str) -> bool {
    let ending = Path::new(file).extension().map(|it| it.to_string_lossy().to_lowercase());
    ending.is_some_and(|it| ENDINGS.contains(&it.as_str()))
}
