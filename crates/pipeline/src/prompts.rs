//! Prompts with their pictures: from the command line, or one a line of a file.
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use flamingo::{IMAGE, Medium, Model, Request};
use serde::Deserialize;

use crate::{Error, Result};

/// A text with its pictures.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prompt {
    /// What the user calls it.
    #[serde(default)]
    pub id: Option<String>,
    /// The text, with an `<image>` for each picture.
    pub prompt: String,
    /// The pictures, in the order of their `<image>`.
    #[serde(default)]
    pub images: Vec<PathBuf>,
}

impl Prompt {
    /// A prompt that need not say where its pictures are: where it has no `<image>`, they are put
    /// before it.
    pub fn new(text: &str, images: &[PathBuf]) -> Self {
        let n = if text.contains(IMAGE) { 0 } else { images.len() };
        Self { id: None, prompt: IMAGE.repeat(n) + text, images: images.to_vec() }
    }

    /// Reads a file of JSON objects, one a line; pictures are relative to the file.
    ///
    /// # Errors
    /// Names the line that is no such object, or a file of none.
    pub fn read(path: &Path) -> Result<Vec<Self>> {
        let dir = path.parent().unwrap_or(Path::new(""));
        let text = files::read_table(path)?;
        let lines = text
            .trim_start_matches('\u{feff}')
            .lines()
            .zip(1..)
            .filter(|(line, _)| !line.trim().is_empty());
        let prompts = lines.map(|(line, number)| {
            let mut prompt: Self = serde_json::from_str(line).map_err(|error| {
                let expected = r#"expected {"prompt": "…<image>…", "images": ["FILE", …]}"#;
                let problem = format!("{error}; {expected}");
                Error::Prompt { path: path.to_owned(), line: number, problem }
            })?;
            prompt.images.iter_mut().for_each(|image| *image = files::join(dir, image));
            let n = prompt.prompt.matches(IMAGE).count();
            if n != prompt.images.len() {
                let n_images = prompt.images.len();
                let problem = format!("the prompt has {n} {IMAGE} for {n_images} images");
                return Err(Error::Prompt { path: path.to_owned(), line: number, problem });
            }
            Ok(prompt)
        });
        let prompts = prompts.collect::<Result<Vec<_>>>()?;
        if prompts.is_empty() {
            let problem = "it holds no prompt, expected one JSON object a line".to_owned();
            return Err(Error::Prompt { path: path.to_owned(), line: 1, problem });
        }
        Ok(prompts)
    }

    /// What the model is asked, with room for `n_new` tokens.
    pub(crate) fn request(&self, model: &Model, n_new: usize, stream: u64) -> Result<Request> {
        let media = self.images.iter().map(|path| Ok(Arc::new(model.picture(path)?)));
        let media = media.collect::<Result<Vec<Arc<Medium>>>>()?;
        let request = Request { prompt: self.prompt.clone(), media, stream: Some(stream) };
        model.check(&request, n_new)?;
        Ok(request)
    }

    /// SHA-256 of every picture.
    pub(crate) fn digests(&self) -> Result<Vec<String>> {
        self.images.iter().map(|path| Ok(scan::sha256_file(path)?)).collect()
    }
}

/// The lines of a file that hold something, without their ends.
///
/// # Errors
/// Names a file of none.
pub fn read_lines(path: &Path) -> Result<Vec<String>> {
    let text = files::read_table(path)?;
    let lines: Vec<String> =
        text.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    if lines.is_empty() {
        let problem = "it holds no text, expected one a line".to_owned();
        return Err(Error::Prompt { path: path.to_owned(), line: 1, problem });
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Prompt>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("prompts.jsonl");
        std::fs::write(&path, text).unwrap();
        let mut prompts = Prompt::read(&path)?;
        for image in prompts.iter_mut().flat_map(|prompt| &mut prompt.images) {
            *image = image.strip_prefix(dir.path()).unwrap().to_owned();
        }
        Ok(prompts)
    }

    #[test]
    fn each_line_is_a_prompt_with_pictures_beside_the_file() {
        let two = r#"
            {"prompt": "<image>Output:cats<|endofchunk|><image>Output:", "images": ["a.png", "b/c.png"]}
            {"id": "plain", "prompt": "Output:"}
        "#;
        let prompts = read(two).unwrap();
        assert_eq!(prompts[0].images, [Path::new("a.png"), Path::new("b/c.png")]);
        assert_eq!((prompts[1].id.as_deref(), prompts[1].images.len()), (Some("plain"), 0));
    }

    #[test]
    fn a_line_that_does_not_fit_is_named() {
        let refused = |text: &str| read(text).unwrap_err().to_string();
        let unknown = refused("\n{\"prompt\": \"a\", \"image\": \"b\"}");
        assert!(unknown.contains("line 2: unknown field `image`"), "{unknown}");
        let more = refused("{\"prompt\": \"<image><image>\", \"images\": [\"b\"]}");
        assert!(more.contains("line 1: the prompt has 2 <image> for 1 images"), "{more}");
        let none = refused("{\"prompt\": \"a\", \"images\": [\"b\"]}");
        assert!(none.contains("0 <image> for 1 images"), "{none}");
        assert!(refused("\n").contains("no prompt"));
    }

    #[test]
    fn pictures_without_a_place_come_first() {
        let images = [PathBuf::from("a"), PathBuf::from("b")];
        assert_eq!(Prompt::new("Output:", &images).prompt, "<image><image>Output:");
        assert_eq!(Prompt::new("a<image>b<image>", &images).prompt, "a<image>b<image>");
        assert_eq!(Prompt::new("Output:", &[]).prompt, "Output:");
    }
}
