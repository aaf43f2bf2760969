//! What the config beside a CLIP's weights says of its visual tower that shapes do not.

use std::path::{Path, PathBuf};

use encoder::{ClipActivation, ClipPreprocess};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::unfit;
use crate::{Fault, Result};

/// Hugging Face's config.
const CONFIG: &str = "config.json";
/// Hugging Face's config of the pictures.
const PREPROCESSOR: &str = "preprocessor_config.json";
/// Pillow's number of the bicubic filter.
const BICUBIC: u8 = 3;
/// The config of `open_clip`.
const OPEN_CLIP: &str = "open_clip_config.json";

/// The `config.json` of Hugging Face, or the tower's part of it.
#[derive(Deserialize)]
struct HuggingFace {
    model_type: Option<String>,
    hidden_act: Option<String>,
    hidden_size: Option<usize>,
    num_attention_heads: Option<usize>,
    vision_config: Option<Box<HuggingFace>>,
}

/// The whole `open_clip_config.json`.
#[derive(Deserialize)]
struct OpenClip {
    model_cfg: ModelCfg,
    #[serde(default)]
    preprocess_cfg: PreprocessCfg,
}

/// How pictures are prepared; absent: as for OpenAI's models.
#[derive(Default, Deserialize)]
struct PreprocessCfg {
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
    interpolation: Option<String>,
    resize_mode: Option<String>,
}

/// The `preprocessor_config.json` of Hugging Face.
#[derive(Deserialize)]
struct Preprocessor {
    image_mean: Option<[f32; 3]>,
    image_std: Option<[f32; 3]>,
    /// Pillow's number of the filter.
    resample: Option<u8>,
}

#[derive(Deserialize)]
struct ModelCfg {
    vision_cfg: VisionCfg,
    /// Absent: what `open_clip` takes then.
    #[serde(default)]
    quick_gelu: bool,
}

#[derive(Deserialize)]
struct VisionCfg {
    width: Option<usize>,
    head_width: Option<usize>,
}

/// What a config says; nothing where none is there.
#[derive(Default)]
pub(super) struct Beside {
    path: PathBuf,
    /// Width of one attention head.
    pub(super) head_width: Option<usize>,
    /// The non-linearity, in Hugging Face's words.
    activation: Option<String>,
    /// What is subtracted from each colour, and what the rest is divided by.
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
}

impl Beside {
    /// Reads the config beside `vision`, a tower of this width. Where both configs are there it is
    /// the one of `open_clip` if the weights' file has that name too.
    ///
    /// # Errors
    /// Where a config is there and cannot be understood.
    pub(super) fn read(vision: &Path, width: usize) -> Result<Self> {
        let [config, open_clip] = [CONFIG, OPEN_CLIP].map(|name| vision.with_file_name(name));
        let name = vision.file_name().unwrap_or_default().to_string_lossy();
        if open_clip.is_file() && (name.starts_with("open_clip") || !config.is_file()) {
            let OpenClip { model_cfg, preprocess_cfg } = parsed(&open_clip)?;
            for (field, found, expected) in [
                ("interpolation", &preprocess_cfg.interpolation, "bicubic"),
                ("resize_mode", &preprocess_cfg.resize_mode, "shortest"),
            ] {
                if let Some(found) = found.as_ref().filter(|found| *found != expected) {
                    let reason = format!("`{field}` is `{found}`, expected `{expected}`");
                    return Err(unfit(&open_clip, Fault::VisionConfig, reason));
                }
            }
            let VisionCfg { width: said, head_width } = model_cfg.vision_cfg;
            let activation = if model_cfg.quick_gelu { "quick_gelu" } else { "gelu" };
            return Ok(Self {
                path: open_clip,
                head_width: head_width.filter(|_| said.is_none_or(|said| said == width)),
                activation: Some(activation.to_owned()),
                mean: preprocess_cfg.mean,
                std: preprocess_cfg.std,
            });
        }
        let pictures = pictures(&vision.with_file_name(PREPROCESSOR))?;
        let [mean, std] = pictures;
        if !config.is_file() {
            return Ok(Self { mean, std, ..Self::default() });
        }
        let said: HuggingFace = parsed(&config)?;
        let is_clip = said.model_type.as_ref().is_none_or(|kind| kind.contains("clip"));
        let tower = match said.vision_config {
            Some(tower) => *tower,
            None if is_clip => said,
            // that of a language model in the same folder
            None => return Ok(Self::default()),
        };
        let own = tower.hidden_size.filter(|&size| size == width);
        let heads = tower.num_attention_heads;
        Ok(Self {
            path: config,
            head_width: own.zip(heads).and_then(|(width, heads)| width.checked_div(heads)),
            activation: tower.hidden_act,
            mean,
            std,
        })
    }

    /// The preparation of pictures: OpenAI's, but for what a config says.
    pub(super) fn preprocess(&self, size: usize) -> ClipPreprocess {
        let openai = ClipPreprocess::openai(size);
        let (mean, std) = (self.mean.unwrap_or(openai.mean), self.std.unwrap_or(openai.std));
        ClipPreprocess { mean, std, ..openai }
    }

    /// The non-linearity, where a config says one.
    ///
    /// # Errors
    /// Names one that is neither of CLIP's two.
    pub(super) fn activation(&self) -> Result<Option<ClipActivation>> {
        match self.activation.as_deref() {
            None => Ok(None),
            Some("quick_gelu") => Ok(Some(ClipActivation::QuickGelu)),
            Some("gelu") => Ok(Some(ClipActivation::Gelu)),
            Some(other) => {
                let reason = format!("`hidden_act` is `{other}`, expected `quick_gelu` or `gelu`");
                Err(unfit(&self.path, Fault::VisionConfig, reason))
            }
        }
    }
}

/// Mean and standard deviation of the colours, where Hugging Face's config of the pictures is there.
fn pictures(path: &Path) -> Result<[Option<[f32; 3]>; 2]> {
    if !path.is_file() {
        return Ok([None; 2]);
    }
    let said: Preprocessor = parsed(path)?;
    match said.resample.filter(|&filter| filter != BICUBIC) {
        Some(filter) => {
            let reason = format!("`resample` is {filter}, expected {BICUBIC}, the bicubic filter");
            Err(unfit(path, Fault::VisionConfig, reason))
        }
        None => Ok([said.image_mean, said.image_std]),
    }
}

fn parsed<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = formats::read_text(path)?;
    serde_json::from_str(&text).map_err(|error| unfit(path, Fault::VisionConfig, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the configs of a folder say of the weights `name`, a tower of this width.
    fn read(
        configs: &[(&str, &str)],
        name: &str,
        width: usize,
    ) -> Result<(Option<ClipActivation>, Option<usize>)> {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in configs {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let beside = Beside::read(&folder.path().join(name), width)?;
        Ok((beside.activation()?, beside.head_width))
    }

    #[test]
    fn an_unknown_non_linearity_is_refused_by_name() {
        let config = [(CONFIG, r#"{"vision_config": {"hidden_act": "silu"}}"#)];
        let error = read(&config, "model.safetensors", 8).unwrap_err().to_string();
        assert!(error.contains("config.json: `hidden_act` is `silu`"), "{error}");
        // that of a language model says nothing of the picture's tower
        let config = [(CONFIG, r#"{"model_type": "llama", "hidden_act": "silu"}"#)];
        assert_eq!(read(&config, "ViT-L-14.pt", 8).unwrap(), (None, None));
    }

    #[test]
    fn open_clips_config_says_its_heads_and_is_not_quick_where_it_does_not_say() -> Result<()> {
        let open_clip = |rest: &str| {
            let vision = r#"{"width": 8, "head_width": 2, "layers": 1}"#;
            format!(r#"{{"model_cfg": {{"embed_dim": 6, "vision_cfg": {vision}{rest}}}}}"#)
        };
        let (exact, quick) = (open_clip(""), open_clip(r#", "quick_gelu": true"#));
        let theirs = r#"{"hidden_size": 8, "num_attention_heads": 2, "hidden_act": "quick_gelu"}"#;
        let (gelu, quick_gelu) = (Some(ClipActivation::Gelu), Some(ClipActivation::QuickGelu));
        let weights = "open_clip_model.safetensors";
        assert_eq!(read(&[], weights, 8)?, (None, None));
        assert_eq!(read(&[(OPEN_CLIP, exact.as_str())], weights, 8)?, (gelu, Some(2)));
        assert_eq!(read(&[(OPEN_CLIP, quick.as_str())], "clip.pt", 8)?, (quick_gelu, Some(2)));
        assert_eq!(read(&[(OPEN_CLIP, exact.as_str())], weights, 16)?, (gelu, None));
        // beside both configs the weights' name decides
        let both = [(OPEN_CLIP, exact.as_str()), (CONFIG, theirs)];
        assert_eq!(read(&both, weights, 8)?, (gelu, Some(2)));
        assert_eq!(read(&both, "model.safetensors", 8)?, (quick_gelu, Some(4)));
        Ok(())
    }

    #[test]
    fn colours_are_scaled_as_the_config_beside_the_weights_says() -> Result<()> {
        let preprocess = |configs: &[(&str, &str)], weights: &str| {
            let folder = tempfile::tempdir().unwrap();
            for (name, text) in configs {
                std::fs::write(folder.path().join(name), text).unwrap();
            }
            Beside::read(&folder.path().join(weights), 8).map(|beside| beside.preprocess(224))
        };
        let half = ClipPreprocess { mean: [0.5; 3], std: [0.5; 3], ..ClipPreprocess::openai(224) };
        let open_clip = |fields: &str| {
            format!(r#"{{"model_cfg": {{"vision_cfg": {{}}}}, "preprocess_cfg": {{{fields}}}}}"#)
        };
        let said = open_clip(
            r#""mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "resize_mode": "shortest""#,
        );
        let weights = "open_clip_model.safetensors";
        assert_eq!(preprocess(&[(OPEN_CLIP, &said)], weights)?, half);
        let hugging_face =
            r#"{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 3}"#;
        assert_eq!(preprocess(&[(PREPROCESSOR, hugging_face)], "model.safetensors")?, half);
        assert_eq!(preprocess(&[], weights)?, ClipPreprocess::openai(224));
        let none = [(OPEN_CLIP, &*open_clip("")), (PREPROCESSOR, hugging_face)];
        assert_eq!(preprocess(&none, weights)?, ClipPreprocess::openai(224));
        for (name, text, expected) in [
            (OPEN_CLIP, &*open_clip(r#""resize_mode": "squash""#), "`resize_mode` is `squash`"),
            (PREPROCESSOR, r#"{"resample": 2}"#, "`resample` is 2, expected 3"),
        ] {
            let error = preprocess(&[(name, text)], weights).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains(expected), "{error}");
        }
        Ok(())
    }
}
