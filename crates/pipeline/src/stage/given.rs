//! What an encoder is given: of the things that stages made, the one that it reads.
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use encoder::{EncoderConfig, EncoderSpec, InputShape, StoredConfig, StoredTokens, WindowTokens};
use ndarray::{ArrayD, Axis};
use preprocess::{Cut, Recording};
use serde_json::{Value, json};

use super::Stage;
use crate::{Error, Result, media::Media};

/// The windows of the cohort that the encoder reads: of series, or of volumes.
pub(crate) fn input(config: &EncoderConfig, media: &Media<'_>) -> Result<InputShape> {
    if let Some(source) = stored(config) {
        let (_, tokens) = first_stored(source)?;
        return Ok(tokens);
    }
    let n_frames = media.cut.as_ref().map_or(0, Cut::n_frames);
    let series = media
        .series()
        .map(|series| InputShape::Window { n_frames, n_voxels: series.about.n_columns() });
    let volumes = media.volumes.as_ref().map(|it| InputShape::Volume { n_frames, grid: it.grid() });
    readable(config, &[series, volumes]).map_err(Error::Encoder)
}

/// Whether the windows of the cohort will be cut out of volumes on `grid`, as far as the stages before
/// say it.
pub(super) fn reads_volumes(media: &Media<'_>, grid: [usize; 3]) -> bool {
    let Some(series) = media.series() else { return true };
    let Some(config) = media.plan.loaded.encoder() else { return false };
    if stored(&config).is_some() {
        return false;
    }
    let cut = media.plan.spec().stages().iter().find_map(Stage::cut);
    let Some(n_frames) = cut.map(|it| it.n_frames()) else { return false };
    let n_voxels = series.about.n_columns();
    let window = InputShape::Window { n_frames, n_voxels };
    let volume = InputShape::Volume { n_frames, grid };
    let read = readable(&config, &[Some(window), Some(volume)]);
    read.is_ok_and(|input| matches!(input, InputShape::Volume { .. }))
}

/// The first that the encoder reads; otherwise why it does not read the first.
pub(crate) fn readable(
    config: &EncoderConfig,
    given: &[Option<InputShape>],
) -> Result<InputShape, encoder::Error> {
    let mut given = given.iter().flatten();
    let first = given.next().expect("windows come from series or volumes");
    match config.spec(*first) {
        Ok(_) => Ok(*first),
        Err(error) => given.find(|it| config.spec(**it).is_ok()).copied().ok_or(error),
    }
}

/// Where tokens lie that another program made.
pub(crate) fn stored(config: &EncoderConfig) -> Option<&StoredTokens> {
    match config {
        EncoderConfig::Stored(StoredConfig { tokens, .. }) => tokens.as_ref(),
        _ => None,
    }
}

/// An encoder that hands on tokens which are there, and what one window of them is.
pub(crate) fn handed_on(spec: &EncoderSpec) -> (EncoderConfig, InputShape) {
    let (n_tokens, dim) = (spec.n_tokens(), spec.vis_dim);
    (EncoderConfig::Stored(StoredConfig::of_width(dim)), InputShape::Tokens { n_tokens, dim })
}

/// Everything that decides the tokens of a scan that were made elsewhere.
pub(super) fn stored_digest(source: &StoredTokens, media: &Media<'_>, idx: usize) -> Result<Value> {
    let name = &media.scans()[idx].name;
    let path = match source {
        StoredTokens::File(path) => path.clone(),
        StoredTokens::Folder(dir) => stored_file(dir, name)?,
    };
    Ok(json!([name, media.digest_of(&path)?]))
}

/// The file of a folder that is called as the scan.
fn stored_file(dir: &Path, scan: &str) -> Result<PathBuf> {
    let of_scan = |name: &String| name.rsplit_once('.').is_some_and(|(stem, _)| stem == scan);
    let name = files::list(dir)?.into_iter().find(of_scan);
    name.map(|name| dir.join(name)).ok_or_else(|| {
        let problem = format!("holds no file of the tokens of {scan}");
        Error::Arrays { path: dir.to_owned(), problem }
    })
}

/// The name of the first tokens, and what one window of them is.
pub(crate) fn first_stored(source: &StoredTokens) -> Result<(String, InputShape)> {
    let (name, tokens) = match source {
        StoredTokens::File(path) => {
            let name = scan::array_names(path)?.into_iter().next();
            let name = name.ok_or_else(|| no_tokens(path))?;
            let tokens = scan::read_array(path, Some(&name))?;
            (name, tokens)
        }
        StoredTokens::Folder(dir) => {
            let name = files::list(dir)?.into_iter().next().ok_or_else(|| no_tokens(dir))?;
            let tokens = scan::read_array(dir.join(&name), None)?;
            (name, tokens)
        }
    };
    let tokens = windows_of(source.path(), &name, tokens)?;
    let &[_, n_tokens, dim] = tokens.shape() else { unreachable!("just made so") };
    Ok((name, InputShape::Tokens { n_tokens, dim }))
}

/// Refuses tokens that are of none of the scans; a scan without tokens is left out when it is its turn.
pub(crate) fn names_fit(source: &StoredTokens, scans: &[Recording]) -> Result<()> {
    let names = match source {
        StoredTokens::File(path) => scan::array_names(path)?,
        StoredTokens::Folder(dir) => {
            let stem = |name: String| name.rsplit_once('.').map(|(stem, _)| stem.to_owned());
            files::list(dir)?.into_iter().filter_map(stem).collect()
        }
    };
    let names: BTreeSet<String> = names.into_iter().collect();
    let Some(first) = scans.first() else { return Ok(()) };
    if scans.iter().any(|scan| names.contains(&scan.name)) {
        return Ok(());
    }
    let problem =
        format!("holds tokens of none of the scans, of which the first is {}", first.name);
    Err(Error::Tokens { path: source.path().to_owned(), problem })
}

/// Windows of the tokens of a scan; none where it has no tokens.
pub(crate) fn n_stored_windows(source: &StoredTokens, scan: &str) -> Option<usize> {
    let tokens = match source {
        StoredTokens::File(path) => scan::read_array(path, Some(scan)),
        StoredTokens::Folder(dir) => scan::read_array(stored_file(dir, scan).ok()?, None),
    };
    let shape = tokens.ok()?.shape().to_vec();
    Some(if shape.len() == 3 { shape[0] } else { 1 })
}

fn no_tokens(path: &Path) -> Error {
    Error::Arrays { path: path.to_owned(), problem: "it holds no tokens".to_owned() }
}

/// A scan's tokens, whose sizes must be those of all others.
pub(super) fn read_stored(
    source: &StoredTokens,
    scan: &str,
    input: InputShape,
) -> Result<WindowTokens> {
    let (path, tokens) = match source {
        StoredTokens::File(path) => (path.clone(), scan::read_array(path, Some(scan))?),
        StoredTokens::Folder(dir) => {
            let path = stored_file(dir, scan)?;
            let tokens = scan::read_array(&path, None)?;
            (path, tokens)
        }
    };
    let tokens = windows_of(&path, scan, tokens)?;
    let &[n_windows, n_tokens, dim] = tokens.shape() else { unreachable!("just made so") };
    let found = InputShape::Tokens { n_tokens, dim };
    if found != input {
        let problem = format!("holds {found} of {scan}, expected {input} as of the first scan");
        return Err(Error::Arrays { path, problem });
    }
    let values: Vec<f32> = tokens.iter().map(|&x| x as f32).collect();
    if let Some(at) = values.iter().position(|x| !x.is_finite()) {
        let problem = format!(
            "token {} of window {} of {scan} is not all finite numbers",
            1 + at / dim % n_tokens,
            1 + at / dim / n_tokens
        );
        return Err(Error::Arrays { path, problem });
    }
    let means = tokens.mean_axis(Axis(1)).expect("there are tokens");
    let means = means.iter().map(|&x| x as f32).collect();
    Ok(WindowTokens { n_windows, n_tokens, dim, values, means, classes: None })
}

/// As `(n_windows, n_tokens, dim)`.
fn windows_of(path: &Path, name: &str, tokens: ArrayD<f64>) -> Result<ArrayD<f64>> {
    let tokens = if tokens.ndim() == 2 { tokens.insert_axis(Axis(0)) } else { tokens };
    if tokens.ndim() == 3 && !tokens.is_empty() {
        return Ok(tokens);
    }
    let problem = format!(
        "{name} has shape {:?}, expected (n_windows, n_tokens, dim) or (n_tokens, dim)",
        tokens.shape()
    );
    Err(Error::Arrays { path: path.to_owned(), problem })
}
