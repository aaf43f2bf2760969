//! A table of pictures and the package that writes under them, checked before a picture is decoded.
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use encoder::{InputShape, Photo};
use flamingo::IMAGE;
use serde::Deserialize;

use crate::{
    Error, Result,
    model_id::model_id,
    spec::{Loaded, PicturesSpec},
    stage::Stage,
};

/// Pictures and a package.
#[derive(Clone, Debug)]
pub struct PicturesPlan {
    /// The table.
    pub table: PathBuf,
    /// Its digest.
    pub sha256: String,
    /// Every picture once, in the order of the table.
    pub pictures: Vec<PicturePlan>,
    /// What the model is told before it writes.
    pub prompt: String,
    /// Folder of the model package.
    pub package: PathBuf,
    /// The model, by what is in it.
    pub model_id: String,
}

/// One picture.
#[derive(Clone, Debug, PartialEq)]
pub struct PicturePlan {
    /// As the table names it.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Digest of the file.
    pub sha256: String,
    /// What people wrote under it.
    pub references: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    image: PathBuf,
    #[serde(default)]
    reference: Option<String>,
}

pub(super) fn plan(loaded: &Loaded, spec: &PicturesSpec) -> Result<PicturesPlan> {
    let stages = loaded.spec.stages();
    let caption = stages.iter().find_map(|stage| match stage {
        Stage::Caption(config) => Some((stage.name(), config)),
        _ => None,
    });
    let (stage, config) = caption.expect("the chain of stages was checked");
    let section = "package";
    let package = loaded.spec.package.as_ref().ok_or(Error::MissingSection { stage, section })?;
    let package = loaded.resolve(package);
    let info = flamingo::inspect(&package)?;
    let refuse = |path: &PathBuf, problem| Err(Error::Pictures { path: path.clone(), problem });
    if !matches!(info.manifest.input, InputShape::Image { .. }) {
        let problem = format!("this package reads {}, expected pictures", info.manifest.input);
        return refuse(&package, problem);
    }
    let table = loaded.resolve(&spec.table);
    let n = spec.prompt.matches(IMAGE).count();
    if n != 1 {
        let problem = format!("cohort.pictures.prompt has {n} {IMAGE}, expected one");
        return refuse(&table, problem);
    }
    flamingo::PackageTexts::open(&package)?.check(&spec.prompt, 1, config.0.max_new_tokens)?;
    let (pictures, sha256) = (read(loaded, &table)?, scan::sha256_file(&table)?);
    let model_id = model_id(&info.manifest);
    Ok(PicturesPlan { table, sha256, pictures, prompt: spec.prompt.clone(), package, model_id })
}

fn read(loaded: &Loaded, table: &Path) -> Result<Vec<PicturePlan>> {
    let dir = table.parent().expect("a file lies in a folder");
    let refuse = |problem: String| Error::Pictures { path: table.to_owned(), problem };
    let text = files::read_table(table)?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    let headers = reader.headers().map_err(|error| refuse(error.to_string()))?.clone();
    let mut pictures: Vec<PicturePlan> = Vec::new();
    let mut places: HashMap<PathBuf, usize> = HashMap::new();
    let mut problems = Vec::new();
    for (record, number) in reader.records().zip(2..) {
        let row = record.and_then(|record| record.deserialize::<Row>(Some(&headers)));
        let Row { image, reference } = row.map_err(|error| {
            refuse(format!("row {number}: {error}; allowed are the columns image and reference"))
        })?;
        let reference = reference.filter(|text| !text.is_empty());
        let path = files::join(dir, &image);
        if let Some(&place) = places.get(&path) {
            pictures[place].references.extend(reference);
            continue;
        }
        if let Err(error) = Photo::check(&path) {
            problems.push(refuse(format!("row {number}: {error}")));
            continue;
        }
        places.insert(path.clone(), pictures.len());
        pictures.push(PicturePlan {
            name: image.display().to_string(),
            sha256: loaded.sha256(&path)?,
            path,
            references: reference.into_iter().collect(),
        });
    }
    Error::collect(problems)?;
    if pictures.is_empty() {
        return Err(refuse("it has no rows, expected a picture each".to_owned()));
    }
    Ok(pictures)
}
