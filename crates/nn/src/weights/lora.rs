//! Which linear layers get a correction of low rank, and what it weighs: `LoRA` (Hu et al. 2022) in the
//! terms of PEFT.

use fancy_regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Adapted, Outline, Source};

/// What the two matrices of a correction are called below its layer, of PEFT: `(rank, in)` and `(out, rank)`.
pub(super) const DOWN: &str = "lora_A.weight";
pub(super) const UP: &str = "lora_B.weight";

/// Ranks beyond it are beyond every layer.
const MOST: usize = 1 << 16;

/// What stands for every linear layer but the output head.
const ALL: &str = "all-linear";

/// Corrections `x Aᵀ Bᵀ · alpha / rank` beside frozen linear layers (Hu et al. 2022), in the terms of PEFT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank of a correction.
    pub rank: usize,
    /// A correction weighs `alpha / rank`.
    pub alpha: f64,
    /// Rank-stabilised: a correction weighs `alpha / √rank` (Kalajdzievski 2023). Default: false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub use_rslora: bool,
    /// The linear layers that get one. Default: all but the output head.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_modules: Option<TargetModules>,
}

/// Linear layers by their names, as PEFT's `target_modules` says them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "lora.target_modules is a list of names, one regular expression, or `all-linear`"
)]
pub enum TargetModules {
    /// Names, or ends of names, such as `query`.
    Ends(Vec<String>),
    /// A regular expression over the whole name, or `all-linear`.
    Pattern(String),
}

/// The same, ready to be asked.
#[derive(Clone, Debug)]
pub enum Targets {
    /// All but the output head.
    All,
    /// Layers whose name is one of these, or ends with it after a point.
    Ends(Vec<String>),
    /// Layers whose whole name matches.
    Pattern(Regex),
}

impl LoraConfig {
    /// What no training can be run with, as `key is …`.
    pub fn problem(&self) -> Option<String> {
        if self.rank == 0 {
            return Some("lora.rank is 0, expected at least 1".to_owned());
        }
        if self.rank > MOST {
            return Some(format!("lora.rank is {}, expected at most {MOST}", self.rank));
        }
        if !(self.alpha.is_finite() && self.alpha > 0.) {
            return Some(format!("lora.alpha is {}, expected a number above 0", self.alpha));
        }
        match &self.target_modules {
            Some(TargetModules::Ends(names)) if names.is_empty() => {
                Some("lora.target_modules is empty, so nothing would move".to_owned())
            }
            Some(targets) => targets.ready().err(),
            None => None,
        }
    }

    /// What a correction weighs.
    pub fn scale(&self) -> f64 {
        let rank = self.rank as f64;
        self.alpha / if self.use_rslora { rank.sqrt() } else { rank }
    }

    /// Which layers get a correction.
    ///
    /// # Errors
    /// Says what is wrong with a regular expression.
    pub fn targets(&self) -> Result<Targets, String> {
        self.target_modules.as_ref().map_or(Ok(Targets::All), TargetModules::ready)
    }

    /// Weights with these corrections beside the layers that `adapts` names.
    pub fn beside(
        &self,
        weights: impl Source + 'static,
        corrections: impl Source + 'static,
        adapts: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Adapted {
        Adapted::new(weights, corrections, (self.rank, self.scale()), adapts)
    }
}

/// The layer whose correction has this tensor as its first matrix.
pub fn corrected_layer(name: &str) -> Option<&str> {
    name.strip_suffix(DOWN)?.strip_suffix('.')
}

/// Whether a tensor is one of the two matrices of a correction.
pub fn is_correction(name: &str) -> bool {
    let layer = corrected_layer(name).or_else(|| name.strip_suffix(UP)?.strip_suffix('.'));
    layer.is_some()
}

/// The layers that have a correction in an outline.
pub fn corrected(outline: &Outline) -> Vec<String> {
    let names = outline.shapes().into_keys();
    names.filter_map(|name| corrected_layer(&name).map(str::to_owned)).collect()
}

/// What `target_modules` says that is none of these linear layers.
pub fn unknown_target(targets: &Targets, layers: &[String]) -> Option<String> {
    let target = targets.unmet(layers)?;
    let mut ends: Vec<&str> =
        layers.iter().map(|path| path.rsplit('.').next().unwrap_or(path)).collect();
    ends.sort_unstable();
    ends.dedup();
    Some(format!(
        "lora.target_modules names `{target}`, which is none of its linear layers: their names end in {}",
        ends.join(", ")
    ))
}

impl TargetModules {
    /// Ready to be asked.
    ///
    /// # Errors
    /// Says what is wrong with a regular expression.
    pub fn ready(&self) -> Result<Targets, String> {
        match self {
            Self::Ends(names) => Ok(Targets::Ends(names.clone())),
            Self::Pattern(name) if name == ALL => Ok(Targets::All),
            Self::Pattern(pattern) => {
                let whole = Regex::new(&format!("^(?:{pattern})$"));
                whole
                    .map(Targets::Pattern)
                    .map_err(|error| format!("lora.target_modules: `{pattern}`: {error}"))
            }
        }
    }
}

impl Targets {
    /// Whether a layer gets a correction; whoever knows the output head leaves it out of all.
    pub fn include(&self, module: &str) -> bool {
        match self {
            Self::All => true,
            Self::Ends(names) => names.iter().any(|name| is_end(module, name)),
            Self::Pattern(pattern) => pattern.is_match(module).unwrap_or(false),
        }
    }

    /// What is said and names none of these layers.
    pub fn unmet(&self, modules: &[String]) -> Option<String> {
        let met = |name: &String| modules.iter().any(|module| is_end(module, name));
        match self {
            Self::All => None,
            Self::Ends(names) => names.iter().find(|name| !met(name)).cloned(),
            Self::Pattern(pattern) => {
                let none = !modules.iter().any(|module| self.include(module));
                let text = pattern.as_str();
                none.then(|| text.trim_start_matches("^(?:").trim_end_matches(")$").to_owned())
            }
        }
    }
}

/// Whether a path is a name, or ends with it after a point.
pub fn is_end(path: &str, name: &str) -> bool {
    path.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(fields: &str) -> LoraConfig {
        serde_json::from_str(&format!(r#"{{"rank": 4, "alpha": 8 {fields}}}"#)).unwrap()
    }

    #[test]
    fn a_correction_weighs_alpha_over_the_rank_or_its_root() {
        assert_eq!(config("").scale(), 2.);
        assert_eq!(config(r#", "use_rslora": true"#).scale(), 4.);
    }

    #[test]
    fn layers_are_named_by_their_ends_by_a_pattern_or_all() {
        let included = |targets: &str, module: &str| {
            let config = config(&format!(r#", "target_modules": {targets}"#));
            assert_eq!(config.problem(), None);
            config.targets().unwrap().include(module)
        };
        let q = "model.layers.1.self_attn.q_proj";
        assert!(included(r#"["q_proj"]"#, q) && included(r#"["self_attn.q_proj"]"#, q));
        assert!(included(r#"["q_proj"]"#, "q_proj") && !included(r#"["q_proj"]"#, "kq_proj"));
        // PEFT matches the whole path
        let pattern = r#""model\\.layers\\.(?!0\\.)\\d+\\..*_proj""#;
        assert!(included(pattern, q) && !included(pattern, "model.layers.0.self_attn.q_proj"));
        assert!(!included(pattern, "model.layers.1.self_attn.q_proj.x"));
        assert!(included(r#""all-linear""#, q) && config("").targets().unwrap().include(q));
    }

    #[test]
    fn what_cannot_be_meant_is_said() {
        let problem = |fields: &str| config(fields).problem().unwrap_or_default();
        assert!(problem(r#", "target_modules": []"#).contains("nothing would move"));
        let pattern = problem(r#", "target_modules": "(""#);
        assert!(pattern.starts_with("lora.target_modules: `(`: "), "{pattern}");
        let modules = ["layers.0.q_proj".to_owned(), "layers.0.k_proj".to_owned()];
        let unmet = |targets: &str| {
            let config = config(&format!(r#", "target_modules": {targets}"#));
            config.targets().unwrap().unmet(&modules)
        };
        assert_eq!(unmet(r#"["q_proj", "0.k_proj"]"#), None);
        assert_eq!(unmet(r#"["q_proj", "query"]"#).as_deref(), Some("query"));
        assert_eq!(unmet(r#"".*\\.v_proj""#).as_deref(), Some(r".*\.v_proj"));
        assert_eq!(unmet(r#"".*_proj""#), None);
    }
}
