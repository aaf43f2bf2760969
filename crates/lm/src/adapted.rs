//! Corrections of low rank beside the frozen linear layers of a language model.

use candle_core::DType;
use nn::Builder;
use nn::weights::{LoraConfig, Outline, Source, Targets, corrected, unknown_target};

use crate::{LmConfig, Result};

impl LmConfig {
    /// The linear layers, under the names of the model's Hugging Face class.
    ///
    /// # Errors
    /// Where the config is of no model.
    pub fn linear_layers(&self) -> Result<Vec<String>> {
        let all = Outline::default();
        let every = LoraConfig { rank: 1, alpha: 1., use_rslora: false, target_modules: None };
        let every = every.beside(Outline::default(), all.clone(), |_| true);
        self.build(Builder::new(every, DType::F32))?;
        Ok(corrected(&all))
    }

    /// What is wrong with corrections of this model, if anything.
    ///
    /// # Errors
    /// As [`Self::linear_layers`].
    pub fn lora_problem(&self, lora: &LoraConfig) -> Result<Option<String>> {
        if let Some(problem) = lora.problem() {
            return Ok(Some(problem));
        }
        Ok(match lora.targets() {
            Ok(targets) => unknown_target(&targets, &self.linear_layers()?),
            Err(problem) => Some(problem),
        })
    }

    /// The model's weights with corrections beside its linear layers, or without where `lora` says none. Of all
    /// layers the output head is left out, as in PEFT; it may be named.
    ///
    /// # Errors
    /// Where the targets are no regular expression.
    pub fn corrected(
        &self,
        weights: impl Source + 'static,
        corrections: impl Source + 'static,
        lora: Option<&LoraConfig>,
    ) -> Result<Builder> {
        let Some(lora) = lora else { return Ok(Builder::new(weights, DType::F32)) };
        let targets = lora.targets().map_err(candle_core::Error::msg)?;
        let head = self.shared_names().head.trim_end_matches(".weight");
        let adapts = move |path: &str| {
            targets.include(path) && !(path == head && matches!(targets, Targets::All))
        };
        Ok(lora.beside(weights, corrections, adapts).builder(DType::F32))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LlamaConfig, NeoXConfig, OptConfig};

    #[test]
    fn layers_are_those_of_the_class_and_a_tied_head_is_none() {
        let untied = LlamaConfig { tie_word_embeddings: false, ..LlamaConfig::tiny(10) };
        for (config, n, has_head) in [
            (LmConfig::Llama(LlamaConfig::tiny(10)), 2 * 7, false),
            (LmConfig::Llama(untied), 2 * 7 + 1, true),
        ] {
            let layers = config.linear_layers().unwrap();
            assert_eq!(layers.len(), n);
            assert_eq!(layers.contains(&"lm_head".to_owned()), has_head);
        }
    }

    #[test]
    fn all_layers_are_corrected_but_the_head_unless_it_is_named() {
        let untied = LlamaConfig { tie_word_embeddings: false, ..LlamaConfig::tiny(10) };
        let config = LmConfig::Llama(untied);
        let corrected_by = |targets: &str| {
            let lora = format!(r#"{{"rank": 2, "alpha": 4 {targets}}}"#);
            let lora: LoraConfig = serde_json::from_str(&lora).unwrap();
            assert_eq!(config.lora_problem(&lora).unwrap(), None);
            let moving = Outline::default();
            let vb = config.corrected(Outline::default(), moving.clone(), Some(&lora)).unwrap();
            config.build(vb).unwrap();
            corrected(&moving)
        };
        let all = corrected_by("");
        assert!(all.len() == 14 && !all.contains(&"lm_head".to_owned()));
        let named = corrected_by(r#", "target_modules": ["lm_head", "v_proj"]"#);
        let v = |idx| format!("model.layers.{idx}.self_attn.v_proj");
        assert_eq!(named, ["lm_head".to_owned(), v(0), v(1)]);
    }

    #[test]
    fn a_layer_that_is_not_there_is_named_with_those_that_are() {
        let lora: LoraConfig =
            serde_json::from_str(r#"{"rank": 2, "alpha": 4, "target_modules": ["q_proj"]}"#)
                .unwrap();
        let opt = LmConfig::Opt(OptConfig::tiny(10));
        assert_eq!(opt.lora_problem(&lora).unwrap(), None);
        let neox = LmConfig::NeoX(NeoXConfig::tiny(10)).lora_problem(&lora).unwrap().unwrap();
        assert_eq!(
            neox,
            "lora.target_modules names `q_proj`, which is none of its linear layers: their names end in \
             dense, dense_4h_to_h, dense_h_to_4h, embed_out, query_key_value"
        );
    }
}
