use candle_core::Result;

use super::*;
use crate::LmConfig;
use crate::config::Architecture;
use crate::testing::plain::{self, Rows, Weights, add, attention, map, relu};
use crate::testing::{agrees_with_the_recorded_case, holds};

fn config(edit: impl Fn(&mut OptConfig)) -> OptConfig {
    let mut config = OptConfig::tiny(10);
    edit(&mut config);
    config
}

/// As the model of 1.3 billion parameters, as that of 350 million, and as Galactica.
fn variants() -> [OptConfig; 3] {
    [
        config(|config| config.word_embed_proj_dim = None),
        config(|config| config.do_layer_norm_before = false),
        config(|config| {
            config.enable_bias = false;
            config.remove_final_layer_norm = true;
            config.tie_word_embeddings = false;
        }),
    ]
}

#[test]
fn gradients_cache_and_padding_hold() -> Result<()> {
    let [large, medium, bare] = variants();
    holds(&LmConfig::Opt(large), 2 * 16 + 4)?;
    holds(&LmConfig::Opt(medium), 2 * 16 + 4)?;
    holds(&LmConfig::Opt(bare), 2 * 10 + 5)
}

#[test]
fn blocks_agree_with_openflamingos_opt() -> crate::Result<()> {
    agrees_with_the_recorded_case("opt_x1")
}

fn derived(config: &OptConfig, weights: &Weights, ids: &[u32]) -> Rows {
    let root = "model.decoder";
    let embedding = weights.matrix(&format!("{root}.embed_tokens.weight"));
    let positions = weights.matrix(&format!("{root}.embed_positions.weight"));
    let mut xs: Rows = ids.iter().map(|&id| embedding[id as usize].clone()).collect();
    let projects = config.word_embed_proj_dim.is_some();
    if projects {
        xs = weights.linear(&format!("{root}.project_in"), &xs);
    }
    xs = add(&xs, &positions[2..2 + ids.len()].to_vec());
    let before = config.do_layer_norm_before;
    for layer in 0..config.num_hidden_layers {
        let linear =
            |name: &str, xs: &Rows| weights.linear(&format!("{root}.layers.{layer}.{name}"), xs);
        let norm = |name: &str, xs: &Rows, here: bool| {
            if here {
                weights.layer_norm(&format!("{root}.layers.{layer}.{name}"), xs)
            } else {
                xs.clone()
            }
        };
        let read = norm("self_attn_layer_norm", &xs, before);
        let [q, k, v] =
            ["q", "k", "v"].map(|name| linear(&format!("self_attn.{name}_proj"), &read));
        let seen = attention([&q, &k, &v], 4, 0.5, |_, _| 0.);
        xs = add(&xs, &linear("self_attn.out_proj", &seen));
        xs = norm("self_attn_layer_norm", &xs, !before);
        let read = norm("final_layer_norm", &xs, before);
        xs = add(&xs, &linear("fc2", &map(&linear("fc1", &read), relu)));
        xs = norm("final_layer_norm", &xs, !before);
    }
    if before && !config.remove_final_layer_norm {
        xs = weights.layer_norm(&format!("{root}.final_layer_norm"), &xs);
    }
    if projects {
        xs = weights.linear(&format!("{root}.project_out"), &xs);
    }
    let tied = config.tie_word_embeddings;
    weights.linear(if tied { "model.decoder.embed_tokens" } else { "lm_head" }, &xs)
}

#[test]
fn logits_equal_a_derivation_in_plain_loops() -> Result<()> {
    for config in variants() {
        plain::equals(&LmConfig::Opt(config.clone()), |weights, ids| {
            derived(&config, weights, ids)
        })?;
    }
    Ok(())
}

#[test]
fn a_text_longer_than_the_positions_is_an_error() -> Result<()> {
    let short = LmConfig::Opt(config(|config| config.max_position_embeddings = 3));
    let (lm, _) = crate::testing::model(&short)?;
    let ids = candle_core::Tensor::new(&[[1u32, 2, 3, 4]], &candle_core::Device::Cpu)?;
    let error = lm.logits(&ids, &Step::plain(1, 4)?).unwrap_err().to_string();
    assert!(error.contains("position 3 lies beyond the model's 3 positions"), "{error}");
    Ok(())
}

#[test]
fn what_is_not_supported_is_named_and_older_names_are_known() {
    assert!(config(|c| c.num_attention_heads = 5).problem().unwrap().contains("into 5 heads"));
    let bare = config(|c| c.layer_norm_elementwise_affine = false);
    assert!(bare.problem().unwrap().contains("norms without weights"));
    let tiny = OptConfig::tiny(10);
    for (name, expected) in [
        ("decoder.layers.0.fc1.bias", Some("model.decoder.layers.0.fc1.bias")),
        ("model.decoder.embed_tokens.weight", Some("model.decoder.embed_tokens.weight")),
        ("decoder.version", None),
        ("lm_head.weight", Some("lm_head.weight")),
    ] {
        assert_eq!(tiny.rename(name).as_deref(), expected, "{name}");
    }
}

#[test]
fn numbers_out_of_all_proportion_are_refused_with_what_was_expected() {
    let problem = |edit: &dyn Fn(&mut OptConfig)| config(edit).problem().unwrap_or_default();
    assert_eq!(problem(&|_| ()), "");
    let layers = problem(&|c| c.num_hidden_layers = 200_000);
    assert_eq!(layers, "num_hidden_layers is 200000, expected 1 to 1000");
    assert!(problem(&|c| c.max_position_embeddings = 0).contains("max_position_embeddings is 0"));
    assert!(problem(&|c| c.max_position_embeddings = 1 << 25).contains("is 33554432, expected"));
    assert!(problem(&|c| c.vocab_size = 0).contains("vocab_size is 0"));
    assert!(problem(&|c| c.ffn_dim = 1 << 21).contains("ffn_dim is 2097152"));
    assert!(problem(&|c| c.word_embed_proj_dim = Some(0)).contains("word_embed_proj_dim is 0"));
}
