//! `adapter_config.json` of PEFT.

use std::path::{Path, PathBuf};

use fancy_regex::Regex;
use nn::weights::{LoraConfig, TargetModules, Targets, is_end};
use serde_json::{Map, Value};

use super::wrong;
use crate::Result;

/// The file in an adapter's folder.
pub(super) const CONFIG: &str = "adapter_config.json";

/// Fields that leave the arithmetic as it is: where an adapter came from, what its training did, and
/// what is read below.
const HARMLESS: [&str; 30] = [
    "peft_type",
    "peft_version",
    "task_type",
    "base_model_name_or_path",
    "revision",
    "inference_mode",
    "auto_mapping",
    "r",
    "lora_alpha",
    "use_rslora",
    "rank_pattern",
    "alpha_pattern",
    "target_modules",
    "exclude_modules",
    "layers_to_transform",
    "layers_pattern",
    "modules_to_save",
    "trainable_token_indices",
    "bias",
    "lora_dropout",
    "init_lora_weights",
    "loftq_config",
    "eva_config",
    "corda_config",
    "lora_ga_config",
    "megatron_config",
    "megatron_core",
    "qalora_group_size",
    "runtime_config",
    "ephemeral_gpu_offload",
];

/// Initial values that are drawn: others change the base weights, which an adapter does not hold.
const DRAWN: [&str; 3] = ["gaussian", "orthogonal", "eva"];

/// The fields that decide what an adapter computes.
#[derive(Clone, Debug)]
pub(super) struct PeftConfig {
    path: PathBuf,
    rank: usize,
    alpha: f64,
    /// Whether a correction weighs `alpha / √rank` instead of `alpha / rank`.
    rank_stabilised: bool,
    ranks: Vec<(Regex, f64)>,
    alphas: Vec<(Regex, f64)>,
    targets: Targets,
    tokens: Value,
}

impl PeftConfig {
    /// Reads the config in an adapter's folder.
    ///
    /// # Errors
    /// Names a field that cannot be understood, or changes the arithmetic in a way that is not known.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(CONFIG);
        let text = formats::read_text(&path)?;
        let fields: Map<String, Value> =
            serde_json::from_str(&text).map_err(|error| wrong(&path, error.to_string()))?;
        Self::of(&path, &fields)
    }

    fn of(path: &Path, fields: &Map<String, Value>) -> Result<Self> {
        let refuse = |reason: String| Err(wrong(path, reason));
        let kind = fields.get("peft_type").and_then(Value::as_str).unwrap_or("none");
        if kind != "LORA" {
            return refuse(format!("peft_type is {kind}, expected LORA"));
        }
        let unknown =
            |(name, value): &(&String, &Value)| !HARMLESS.contains(&name.as_str()) && is_set(value);
        if let Some((name, value)) = fields.iter().find(unknown) {
            return refuse(format!("{name} is {value}, which is not supported: expected it unset"));
        }
        let initial = fields.get("init_lora_weights").unwrap_or(&Value::Null);
        if let Some(initial) = initial.as_str().filter(|name| !DRAWN.contains(name)) {
            return refuse(format!(
                "init_lora_weights is `{initial}`, which changes the base weights: save the adapter \
                 converted to plain LoRA (path_initial_model_for_weight_conversion)"
            ));
        }
        let number = |name: &str| {
            let found = fields.get(name).and_then(Value::as_f64);
            found
                .filter(|value| *value > 0.)
                .ok_or_else(|| wrong(path, format!("{name} is missing or not a number above 0")))
        };
        let tokens = fields.get("trainable_token_indices").cloned().unwrap_or(Value::Null);
        Ok(Self {
            path: path.to_owned(),
            rank: number("r")? as usize,
            alpha: number("lora_alpha")?,
            rank_stabilised: fields.get("use_rslora").and_then(Value::as_bool).unwrap_or(false),
            ranks: patterns(path, fields.get("rank_pattern"))?,
            alphas: patterns(path, fields.get("alpha_pattern"))?,
            targets: targets(path, fields.get("target_modules"))?,
            tokens,
        })
    }

    /// The same as a training says it, beside these modules; nothing where ranks or weights differ.
    pub(super) fn plain(&self, modules: Vec<String>) -> Option<LoraConfig> {
        let is_plain = self.ranks.is_empty() && self.alphas.is_empty();
        is_plain.then_some(LoraConfig {
            rank: self.rank,
            alpha: self.alpha,
            use_rslora: self.rank_stabilised,
            target_modules: Some(TargetModules::Ends(modules)),
        })
    }

    /// What the correction beside a module weighs.
    ///
    /// # Errors
    /// Where the config does not adapt the module, or gives it another rank than its tensors have.
    pub(super) fn scale(&self, module: &str, rank: usize) -> Result<f64> {
        if !self.targets.include(module) {
            return Err(wrong(
                &self.path,
                format!(
                    "the adapter's file has a correction of `{module}`, which target_modules does not name"
                ),
            ));
        }
        let expected = first(&self.ranks, module).map_or(self.rank, |rank| rank as usize);
        if expected != rank {
            return Err(wrong(
                &self.path,
                format!("the rank of `{module}` is {expected}, but its tensors have {rank}"),
            ));
        }
        let alpha = first(&self.alphas, module).unwrap_or(self.alpha);
        let rank = rank as f64;
        Ok(if self.rank_stabilised { alpha / rank.sqrt() } else { alpha / rank })
    }

    /// The ids whose rows of a module were trained, in the order of the file.
    pub(super) fn rows(&self, module: &str) -> Result<Vec<u32>> {
        let ids = match &self.tokens {
            Value::Object(named) => {
                named.iter().find(|(name, _)| is_end(module, name)).map(|it| it.1)
            }
            Value::Null => None,
            list => Some(list),
        };
        let ids = ids.and_then(Value::as_array).map(|ids| {
            ids.iter().map(|id| id.as_u64().and_then(|id| u32::try_from(id).ok())).collect()
        });
        ids.flatten().ok_or_else(|| {
            wrong(&self.path, format!("trainable_token_indices lists no ids for `{module}`"))
        })
    }
}

fn is_set(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

fn targets(path: &Path, value: Option<&Value>) -> Result<Targets> {
    let said = value.cloned().filter(|value| !value.is_null());
    let Some(said) = said else { return Ok(Targets::All) };
    let modules: TargetModules = serde_json::from_value(said)
        .map_err(|_| wrong(path, "target_modules is neither names nor a pattern".to_owned()))?;
    modules.ready().map_err(|reason| wrong(path, reason))
}

/// A number for each pattern, in the order of the file.
fn patterns(path: &Path, value: Option<&Value>) -> Result<Vec<(Regex, f64)>> {
    let fields = value.and_then(Value::as_object).into_iter().flatten();
    fields
        .map(|(key, value)| {
            let value = value.as_f64().filter(|value| *value > 0.);
            let value = value
                .ok_or_else(|| wrong(path, format!("the pattern `{key}` has no number above 0")))?;
            Ok((regex(path, &format!(r"^(?:(.*\.)?({key})$)"))?, value))
        })
        .collect()
}

fn first(patterns: &[(Regex, f64)], module: &str) -> Option<f64> {
    let found = patterns.iter().find(|(pattern, _)| pattern.is_match(module).unwrap_or(false));
    found.map(|(_, value)| *value)
}

fn regex(path: &Path, pattern: &str) -> Result<Regex> {
    Regex::new(pattern).map_err(|error| wrong(path, format!("`{pattern}`: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(fields: &str) -> Result<PeftConfig> {
        let text = format!(r#"{{"peft_type": "LORA", "r": 4, "lora_alpha": 8 {fields}}}"#);
        PeftConfig::of(Path::new(CONFIG), &serde_json::from_str(&text).unwrap())
    }

    #[test]
    fn a_correction_weighs_alpha_over_rank_of_its_own_module() -> Result<()> {
        let plain = config("")?;
        assert_eq!(plain.scale("layers.0.q_proj", 4)?, 2.);
        assert_eq!(config(r#", "use_rslora": true"#)?.scale("q_proj", 4)?, 4.);
        let patterns = config(
            r#", "rank_pattern": {"down_proj": 2, "layers.1.self_attn.q_proj": 6},
            "alpha_pattern": {"v_proj": 3, "^model\\.layers\\.0\\.mlp\\.up_proj": 24}"#,
        )?;
        for (module, rank, expected) in [
            ("model.layers.0.mlp.down_proj", 2, 4.),
            ("model.layers.1.self_attn.q_proj", 6, 8. / 6.),
            ("model.layers.11.self_attn.q_proj", 4, 2.),
            ("model.layers.0.self_attn.v_proj", 4, 0.75),
            ("model.layers.0.mlp.up_proj", 4, 6.),
            ("model.layers.1.mlp.up_proj", 4, 2.),
        ] {
            assert_eq!(patterns.scale(module, rank)?, expected, "{module}");
        }
        let other = plain.scale("q_proj", 6).unwrap_err().to_string();
        assert!(other.contains("rank of `q_proj` is 4, but its tensors have 6"), "{other}");
        Ok(())
    }

    #[test]
    fn modules_are_named_by_their_ends_or_by_a_pattern_over_the_whole_path() -> Result<()> {
        let names = config(r#", "target_modules": ["q_proj", "mlp.up_proj"]"#)?;
        assert!(names.scale("model.layers.0.self_attn.q_proj", 4).is_ok());
        assert!(names.scale("q_proj", 4).is_ok());
        let error = names.scale("model.layers.0.self_attn.kq_proj", 4).unwrap_err().to_string();
        assert!(error.contains("which target_modules does not name"), "{error}");
        let pattern = config(r#", "target_modules": "model\\.layers\\.(?!1\\.)\\d+\\..*_proj""#)?;
        assert!(pattern.scale("model.layers.0.mlp.up_proj", 4).is_ok());
        assert!(pattern.scale("model.layers.1.mlp.up_proj", 4).is_err());
        assert!(pattern.scale("model.layers.0.mlp.up_proj.x", 4).is_err());
        Ok(())
    }

    #[test]
    fn what_changes_the_arithmetic_is_refused_where_it_is_set() {
        assert!(config(r#", "use_dora": false, "layer_replication": null, "x": []"#).is_ok());
        for (fields, expected) in [
            (r#", "use_dora": true"#, "use_dora is true"),
            (r#", "fan_in_fan_out": true"#, "fan_in_fan_out is true"),
            (r#", "layer_replication": [[0, 1]]"#, "layer_replication is [[0,1]]"),
            (r#", "something_new": {"a": 1}"#, "something_new is"),
            (r#", "init_lora_weights": "pissa_niter_16""#, "changes the base weights"),
            (r#", "rank_pattern": {"(": 2}"#, "adapter_config.json: `"),
        ] {
            let error = config(fields).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let path = Path::new(CONFIG);
        let other = serde_json::from_str(r#"{"peft_type": "IA3"}"#).unwrap();
        let error = PeftConfig::of(path, &other).unwrap_err().to_string();
        assert!(error.contains("peft_type is IA3, expected LORA"), "{error}");
    }

    #[test]
    fn trained_rows_are_listed_once_or_by_module() -> Result<()> {
        let list = config(r#", "trainable_token_indices": [7, 3]"#)?;
        assert_eq!(list.rows("model.embed_tokens")?, [7, 3]);
        let named = config(r#", "trainable_token_indices": {"embed_tokens": [5]}"#)?;
        assert_eq!(named.rows("model.embed_tokens")?, [5]);
        assert!(named.rows("lm_head").is_err() && config("")?.rows("embed_tokens").is_err());
        Ok(())
    }
}
