//! What the config beside a CLIP's weights says of its visual tower that shapes do not.

use std::path::{Path, PathBuf};

use encoder::ClipActivation;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::unfit;
use crate::{Fault, Result};

/// Hugging Face's config.
const CONFIG: &str = "config.json";
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
            let OpenClip { model_cfg } = parsed(&open_clip)?;
            let VisionCfg { width: said, head_width } = model_cfg.vision_cfg;
            let activation = if model_cfg.quick_gelu { "quick_gelu" } else { "gelu" };
            return Ok(Self {
                path: open_clip,
                head_width: head_width.filter(|_| said.is_none_or(|said| said == width)),
                activation: Some(activation.to_owned()),
            });
        }
        if !config.is_file() {
            return Ok(Self::default());
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
        })
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
}
